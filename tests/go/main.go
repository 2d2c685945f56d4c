// Command interop judges a log that brakeline wrote, with code that brakeline did not write: the checkpoint database of
// the Go project (golang.org/x/mod/sumdb/note and sumdb/tlog), which has guarded every Go module since 2019.
//
//	interop DIR
//
// DIR holds job.json (type job), log/ (a C2SP tlog-tiles directory as brakeline exports it), and the files that the job
// names. What is verified, in this order, and by whom:
//
//	checkpoint    note.Open: the log's signature and every witness's cosignature, by known keys; quorum; canonical text
//	entries       tlog.RecordHash over every entry of every bundle; each entry's index and its link to the one before
//	root          tlog.TreeHash over the hashes that tlog.StoredHashesForRecordHash made of those entries
//	tile          every hash tile against the same hashes, and the root once more, read through the tiles alone
//	older         earlier checkpoints of the log: signed, and their roots are prefixes of the entries
//	inclusion     brakeline's proofs by tlog.CheckRecord; Go's own, by tlog.ProveRecord over the tiles, are the same
//	consistency   brakeline's proofs by tlog.CheckTree; Go's own, by tlog.ProveTree over the tiles, are the same
//	receipt       tlog-proof files: checkpoint, cosignatures and inclusion from the file alone
//	vast-...      the same proofs in trees of up to 2^61 entries that are all alike
//
// Roots that proofs are held against are made from the entries, never taken from the job. The verdict (type verdict) is
// printed as JSON; it also carries Go's proofs and a checkpoint that Go signed, for brakeline to judge in turn. The exit
// status is 0 when nothing is wrong, 1 when the verdict lists problems, 2 when there was nothing to judge.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/mod/sumdb/tlog"
)

// A job says who is trusted and what to check; all of it comes from whoever asks, none of it from the log.
type job struct {
	Key         string             `json:"key"`         // the log's vkey
	Witnesses   []string           `json:"witnesses"`   // vkeys of cosignature/v1 keys
	Quorum      int                `json:"quorum"`      // witnesses that must have cosigned the checkpoint and receipts
	Older       []string           `json:"older"`       // files with earlier checkpoints
	Receipts    []string           `json:"receipts"`    // files with receipts
	Inclusion   []inclusionProof   `json:"inclusion"`   // proofs that brakeline made
	Consistency []consistencyProof `json:"consistency"` // likewise

	VastInclusion  []inclusionProof   `json:"vast_inclusion"` // in trees that no disk holds (type vast)
	VastConsistent []consistencyProof `json:"vast_consistency"`
}

// A problem is one thing that is wrong: which check, where, why.
type problem struct {
	Check string `json:"check"`
	Where string `json:"where"`
	Why   string `json:"why"`
}

// A verdict says what was checked, how often, and what was wrong.
type verdict struct {
	OK           bool               `json:"ok"`
	Problems     []problem          `json:"problems"`
	Origin       string             `json:"origin"`
	Size         int64              `json:"size"`
	Root         tlog.Hash          `json:"root"`
	Cosigned     map[string]uint64  `json:"cosigned"` // witness name -> POSIX seconds
	Counts       map[string]int     `json:"counts"`   // check -> how many passed
	GoInclusion  []inclusionProof   `json:"go_inclusion"`
	GoConsistent []consistencyProof `json:"go_consistency"`
	GoSigned     *goSigned          `json:"go_signed"`
}

// check counts a success or notes a problem, and says which.
func (v *verdict) check(name, where string, err error) bool {
	if err != nil {
		v.Problems = append(v.Problems, problem{name, where, err.Error()})
		return false
	}
	v.Counts[name]++
	return true
}

func main() {
	if len(os.Args) != 2 {
		fatal(fmt.Errorf("usage: interop DIR"))
	}
	dir := os.Args[1]
	data, err := os.ReadFile(filepath.Join(dir, "job.json"))
	if err != nil {
		fatal(err)
	}
	var work job
	if err := json.Unmarshal(data, &work); err != nil {
		fatal(fmt.Errorf("job.json: %v", err))
	}
	keys, err := parseKeys(work.Key, work.Witnesses)
	if err != nil {
		fatal(err)
	}
	v := &verdict{Problems: []problem{}, Cosigned: map[string]uint64{}, Counts: map[string]int{}}
	judge(dir, &work, keys, v)
	checkInclusion("vast-", work.VastInclusion, vast{}, vast{}, v)
	checkConsistency("vast-", work.VastConsistent, vast{}, vast{}, v)
	v.OK = len(v.Problems) == 0
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(v); err != nil {
		fatal(err)
	}
	if !v.OK {
		os.Exit(1)
	}
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "interop:", err)
	os.Exit(2)
}

func judge(dir string, work *job, keys *trusted, v *verdict) {
	root := filepath.Join(dir, "log")
	data, err := os.ReadFile(filepath.Join(root, "checkpoint"))
	var head *checkpoint
	if err == nil {
		head, err = keys.open(data, work.Quorum)
	}
	if !v.check("checkpoint", "checkpoint", err) {
		return // without a signed size and root there is nothing to hold the rest against
	}
	v.Origin, v.Size, v.Root, v.Cosigned = head.origin, head.size, head.root, head.cosigned

	entries, ok := readEntries(root, head, v)
	if !ok {
		return
	}
	tiles := &tileReader{dir: root, size: head.size}
	got, err := rootOf(head.size, entries)
	if err == nil && got != head.root {
		err = fmt.Errorf("the entries have root %v, the checkpoint says %v", got, head.root)
	}
	v.check("root", "tile/entries", err)
	checkTiles(tiles, entries, head, v)
	checkOlder(dir, work, keys, entries, v)
	checkInclusion("", work.Inclusion, entries, tiles, v)
	checkConsistency("", work.Consistency, entries, tiles, v)
	for _, name := range work.Receipts {
		v.check("receipt", name, checkReceipt(filepath.Join(dir, name), keys, work.Quorum))
	}
	if len(v.Problems) == 0 {
		v.GoSigned, err = signAsGo(head.size, tiles)
		v.check("signed", "checkpoint", err)
	}
}

// checkOlder verifies earlier checkpoints: the log signed them, and their trees are prefixes of these entries. Witnesses
// need not have seen them.
func checkOlder(dir string, work *job, keys *trusted, entries hashList, v *verdict) {
	for _, name := range work.Older {
		data, err := os.ReadFile(filepath.Join(dir, name))
		var old *checkpoint
		if err == nil {
			old, err = keys.open(data, 0)
		}
		if err == nil {
			var root tlog.Hash
			if root, err = rootOf(old.size, entries); err == nil && root != old.root {
				err = fmt.Errorf("the first %d entries have root %v, this checkpoint says %v", old.size, root, old.root)
			}
		}
		v.check("older", name, err)
	}
}
