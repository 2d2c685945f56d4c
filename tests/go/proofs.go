package main

// Inclusion and consistency proofs. Roots come from hashes that Go made; from the prover come sibling hashes only.

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// An inclusionProof shows that entry Index stands in the tree of Size entries; hashes from the leaf's sibling up.
type inclusionProof struct {
	Index  int64       `json:"index"`
	Size   int64       `json:"size"`
	Hashes []tlog.Hash `json:"hashes"`
}

// A consistencyProof shows that the tree of Old entries is a prefix of that of New entries.
type consistencyProof struct {
	Old    int64       `json:"old"`
	New    int64       `json:"new"`
	Hashes []tlog.Hash `json:"hashes"`
}

// checkInclusion verifies proofs against roots made of truth, then makes each proof again from source.
func checkInclusion(prefix string, proofs []inclusionProof, truth, source tlog.HashReader, v *verdict) {
	for _, p := range proofs {
		where := fmt.Sprintf("entry %d in %d", p.Index, p.Size)
		if !v.check(prefix+"inclusion", where, checkRecord(p, truth)) {
			continue
		}
		own, err := tlog.ProveRecord(p.Size, p.Index, source)
		if err == nil {
			err = same(own, p.Hashes)
		}
		if v.check(prefix+"go-inclusion", where, err) && prefix == "" {
			v.GoInclusion = append(v.GoInclusion, inclusionProof{p.Index, p.Size, own})
		}
	}
}

func checkRecord(p inclusionProof, truth tlog.HashReader) error {
	if p.Index < 0 || p.Index >= p.Size {
		return fmt.Errorf("no such entry")
	}
	leaf, err := truth.ReadHashes([]int64{tlog.StoredHashIndex(0, p.Index)})
	if err != nil {
		return err
	}
	root, err := rootOf(p.Size, truth)
	if err != nil {
		return err
	}
	return tlog.CheckRecord(p.Hashes, p.Size, root, p.Index, leaf[0])
}

// checkConsistency does likewise; tlog knows no proof from the empty tree.
func checkConsistency(prefix string, proofs []consistencyProof, truth, source tlog.HashReader, v *verdict) {
	for _, p := range proofs {
		where := fmt.Sprintf("%d to %d", p.Old, p.New)
		if !v.check(prefix+"consistency", where, checkTree(p, truth)) {
			continue
		}
		own, err := tlog.ProveTree(p.New, p.Old, source)
		if err == nil {
			err = same(own, p.Hashes)
		}
		if v.check(prefix+"go-consistency", where, err) && prefix == "" {
			v.GoConsistent = append(v.GoConsistent, consistencyProof{p.Old, p.New, own})
		}
	}
}

func checkTree(p consistencyProof, truth tlog.HashReader) error {
	if p.Old < 1 || p.Old > p.New {
		return fmt.Errorf("no such trees")
	}
	before, err := rootOf(p.Old, truth)
	if err != nil {
		return err
	}
	after, err := rootOf(p.New, truth)
	if err != nil {
		return err
	}
	return tlog.CheckTree(p.Hashes, p.New, after, p.Old, before)
}

// same says whether Go's proof is brakeline's, hash for hash: RFC 6962 leaves no choice.
func same(own, theirs []tlog.Hash) error {
	if len(own) != len(theirs) {
		return fmt.Errorf("by Go the proof has %d hashes, by brakeline %d", len(own), len(theirs))
	}
	for i := range own {
		if own[i] != theirs[i] {
			return fmt.Errorf("hash %d of the proof is %v by Go and %v by brakeline", i, own[i], theirs[i])
		}
	}
	return nil
}

// vast is a tree of any size whose entries are all vastEntry, so that a complete subtree's hash depends on its level
// alone. Through tlog it reaches 2^61 entries: storage positions beyond overflow an int64.
type vast struct{}

const vastEntry = "vast"

// ReadHashes implements tlog.HashReader.
func (vast) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var hashes []tlog.Hash
	for _, index := range indexes {
		level, _ := tlog.SplitStoredHashIndex(index)
		hash := tlog.RecordHash([]byte(vastEntry))
		for ; level > 0; level-- {
			hash = tlog.NodeHash(hash, hash)
		}
		hashes = append(hashes, hash)
	}
	return hashes, nil
}
