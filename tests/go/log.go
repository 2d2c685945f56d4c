package main

// The layout of c2sp.org/tlog-tiles, read by a few lines of our own because tlog's own paths name the height, C2SP's do
// not. Every hash is computed by tlog.

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	height = 8
	width  = 1 << height
)

// A tile is a row of hashes of level 8*level, or a bundle of entries when level is -1: number n, the first w of 256.
type tile struct {
	level int
	n     int64
	w     int
}

// path writes the number in groups of three digits, all but the last led by an x: 1234067 is x001/x234/067.
func (t tile) path() string {
	number := fmt.Sprintf("%03d", t.n%1000)
	for rest := t.n / 1000; rest > 0; rest /= 1000 {
		number = fmt.Sprintf("x%03d/%s", rest%1000, number)
	}
	kind := "entries"
	if t.level >= 0 {
		kind = fmt.Sprint(t.level)
	}
	path := "tile/" + kind + "/" + number
	if t.w < width {
		path += fmt.Sprintf(".p/%d", t.w)
	}
	return path
}

// row lists the tiles of one level that a tree of size entries has; only the last may be partial.
func row(level int, size int64) []tile {
	count := size
	if level > 0 {
		count = size >> (height * level)
	}
	var tiles []tile
	for n := int64(0); n*width < count; n++ {
		w := count - n*width
		if w > width {
			w = width
		}
		tiles = append(tiles, tile{level, n, int(w)})
	}
	return tiles
}

// A hashList holds every hash of a tree in tlog's storage order (tlog.StoredHashIndex). Made from entries alone.
type hashList []tlog.Hash

// ReadHashes implements tlog.HashReader.
func (l hashList) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var hashes []tlog.Hash
	for _, index := range indexes {
		if index < 0 || index >= int64(len(l)) {
			return nil, fmt.Errorf("the log is too short for stored hash %d", index)
		}
		hashes = append(hashes, l[index])
	}
	return hashes, nil
}

// rootOf is tlog.TreeHash, but for the tree without entries, whose root RFC 6962 gives as SHA-256 of nothing; older
// versions of tlog return zeros.
func rootOf(size int64, r tlog.HashReader) (tlog.Hash, error) {
	if size == 0 {
		return sha256.Sum256(nil), nil
	}
	return tlog.TreeHash(size, r)
}

// readEntries reads every bundle below the checkpoint. It returns false when some entry cannot be had at all; entries
// that are there and wrong are left to the root to find, and the link between entries says where.
func readEntries(dir string, head *checkpoint, v *verdict) (hashList, bool) {
	var list hashList
	index := int64(0)
	previous := sha256.Sum256([]byte(head.origin))
	for _, t := range row(-1, head.size) {
		entries, err := readBundle(dir, t)
		if !v.check("entries", t.path(), err) {
			return nil, false
		}
		for _, entry := range entries {
			v.check("link", fmt.Sprintf("%s entry %d", t.path(), index), checkLink(entry, index, previous))
			hashes, err := tlog.StoredHashesForRecordHash(index, tlog.RecordHash(entry), list)
			if !v.check("leaf", fmt.Sprint(index), err) {
				return nil, false
			}
			list = append(list, hashes...)
			previous = sha256.Sum256(entry)
			index++
		}
	}
	return list, true
}

// readBundle splits a bundle into its entries, each led by its length in two bytes, and wants exactly t.w of them.
func readBundle(dir string, t tile) ([][]byte, error) {
	data, err := os.ReadFile(filepath.Join(dir, t.path()))
	if err != nil {
		return nil, err
	}
	var entries [][]byte
	for len(data) > 0 {
		if len(data) < 2 || len(data)-2 < int(binary.BigEndian.Uint16(data)) {
			return nil, fmt.Errorf("entry %d of the bundle is cut off", len(entries))
		}
		end := 2 + int(binary.BigEndian.Uint16(data))
		entries = append(entries, data[2:end])
		data = data[end:]
	}
	if len(entries) != t.w {
		return nil, fmt.Errorf("the bundle holds %d entries, not %d", len(entries), t.w)
	}
	return entries, nil
}

// checkLink checks the head of a brakeline entry: u64 index || SHA-256 of the entry before (of the origin, for entry 0).
func checkLink(entry []byte, index int64, previous [32]byte) error {
	if len(entry) < 40 || binary.BigEndian.Uint64(entry) != uint64(index) || !bytes.Equal(entry[8:40], previous[:]) {
		return fmt.Errorf("it does not carry its index and the digest of the entry before it")
	}
	return nil
}

// A tileReader is a tlog.HashReader over the hash tiles of a tree of size entries, and nothing else.
type tileReader struct {
	dir   string
	size  int64
	known map[tile][]tlog.Hash
}

// read returns the hashes of a tile, which has exactly t.w of them.
func (r *tileReader) read(t tile) ([]tlog.Hash, error) {
	if hashes, ok := r.known[t]; ok {
		return hashes, nil
	}
	data, err := os.ReadFile(filepath.Join(r.dir, t.path()))
	if err != nil {
		return nil, err
	}
	if len(data) != t.w*tlog.HashSize {
		return nil, fmt.Errorf("%s has %d bytes, not %d", t.path(), len(data), t.w*tlog.HashSize)
	}
	hashes := make([]tlog.Hash, t.w)
	for i := range hashes {
		copy(hashes[i][:], data[i*tlog.HashSize:])
	}
	if r.known == nil {
		r.known = map[tile][]tlog.Hash{}
	}
	r.known[t] = hashes
	return hashes, nil
}

// ReadHashes implements tlog.HashReader: the hash at (level, n) covers 2^(level%8) neighbours in a tile of level/8.
func (r *tileReader) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var hashes []tlog.Hash
	for _, index := range indexes {
		level, n := tlog.SplitStoredHashIndex(index)
		up := level % height
		first := n << up
		tiles := row(level/height, r.size)
		if first/width >= int64(len(tiles)) {
			return nil, fmt.Errorf("no tile holds the hash at level %d, index %d", level, n)
		}
		t := tiles[first/width]
		all, err := r.read(t)
		if err != nil {
			return nil, err
		}
		from, to := int(first%width), int(first%width)+1<<up
		if to > len(all) {
			return nil, fmt.Errorf("%s is too narrow for the hash at level %d, index %d", t.path(), level, n)
		}
		below := append([]tlog.Hash(nil), all[from:to]...)
		for len(below) > 1 {
			for i := 0; i < len(below)/2; i++ {
				below[i] = tlog.NodeHash(below[2*i], below[2*i+1])
			}
			below = below[:len(below)/2]
		}
		hashes = append(hashes, below[0])
	}
	return hashes, nil
}

// checkTiles holds every tile against the hashes made from the entries, then makes the root from tiles alone.
func checkTiles(tiles *tileReader, entries hashList, head *checkpoint, v *verdict) {
	for level := 0; head.size>>(height*level) > 0; level++ {
		for _, t := range row(level, head.size) {
			v.check("tile", t.path(), checkTile(tiles, t, entries))
		}
	}
	root, err := rootOf(head.size, tiles)
	if err == nil && root != head.root {
		err = fmt.Errorf("the tiles have root %v, the checkpoint says %v", root, head.root)
	}
	v.check("tile-root", "tile", err)
}

func checkTile(tiles *tileReader, t tile, entries hashList) error {
	hashes, err := tiles.read(t)
	if err != nil {
		return err
	}
	for i, hash := range hashes {
		want, err := entries.ReadHashes([]int64{tlog.StoredHashIndex(height*t.level, t.n*width+int64(i))})
		if err != nil {
			return err
		}
		if want[0] != hash {
			return fmt.Errorf("hash %d is %v, the entries make it %v", i, hash, want[0])
		}
	}
	return nil
}
