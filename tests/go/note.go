package main

// Checkpoints, cosignatures and receipts: c2sp.org/tlog-checkpoint, tlog-cosignature (v1, Ed25519) and tlog-proof@v1,
// on top of note.Open.

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	algCosignature = 0x04
	proofHeader    = "c2sp.org/tlog-proof@v1"
)

// strict64 is base64 with one encoding for each value: no stray bits behind the last byte.
var strict64 = base64.StdEncoding.Strict()

// A witness verifies cosignatures. It implements note.Verifier, so that note.Open treats them as it does any signature:
// a known key that fails rejects the note, an unknown one is ignored.
type witness struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func (w *witness) Name() string    { return w.name }
func (w *witness) KeyHash() uint32 { return w.hash }

// Verify takes sig as u64 timestamp || Ed25519 signature.
func (w *witness) Verify(msg, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize || binary.BigEndian.Uint64(sig) > math.MaxInt64 {
		return false
	}
	return ed25519.Verify(w.key, cosignedMessage(binary.BigEndian.Uint64(sig), msg), sig[8:])
}

func cosignedMessage(timestamp uint64, text []byte) []byte {
	return []byte(fmt.Sprintf("cosignature/v1\ntime %d\n%s", timestamp, text))
}

// witnessID is SHA-256(name || 0x0A || 0x04 || key)[:4].
func witnessID(name string, key ed25519.PublicKey) uint32 {
	sum := sha256.Sum256([]byte(name + "\n" + string(rune(algCosignature)) + string(key)))
	return binary.BigEndian.Uint32(sum[:])
}

// parseWitness reads a vkey of type 0x04, which note.NewVerifier does not know: name+id+base64(type || key).
func parseWitness(vkey string) (*witness, error) {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 {
		return nil, fmt.Errorf("%q is no vkey", vkey)
	}
	key, err := strict64.DecodeString(parts[2])
	if err != nil || len(key) != 1+ed25519.PublicKeySize || key[0] != algCosignature {
		return nil, fmt.Errorf("%q is no cosignature/v1 key", vkey)
	}
	w := &witness{name: parts[0], hash: witnessID(parts[0], key[1:]), key: key[1:]}
	if fmt.Sprintf("%08x", w.hash) != parts[1] {
		return nil, fmt.Errorf("%q has key id %08x", vkey, w.hash)
	}
	return w, nil
}

// trusted is the keys of a job.
type trusted struct {
	log       note.Verifier
	witnesses []*witness
	all       note.Verifiers
}

func parseKeys(key string, vkeys []string) (*trusted, error) {
	log, err := note.NewVerifier(key)
	if err != nil {
		return nil, fmt.Errorf("%q: %v", key, err)
	}
	t := &trusted{log: log}
	list := []note.Verifier{log}
	for _, vkey := range vkeys {
		w, err := parseWitness(vkey)
		if err != nil {
			return nil, err
		}
		t.witnesses = append(t.witnesses, w)
		list = append(list, w)
	}
	t.all = note.VerifierList(list...)
	return t, nil
}

// A checkpoint is a verified one.
type checkpoint struct {
	origin   string
	size     int64
	root     tlog.Hash
	cosigned map[string]uint64 // witness name -> POSIX seconds
}

// open verifies a checkpoint: signed by the log itself, cosigned by at least quorum different witness keys.
func (t *trusted) open(data []byte, quorum int) (*checkpoint, error) {
	n, err := note.Open(data, t.all)
	if err != nil {
		return nil, err
	}
	byLog := false
	signed := map[string]uint64{} // by name and key
	cosigned := map[string]uint64{}
	for _, sig := range append(append([]note.Signature(nil), n.Sigs...), n.UnverifiedSigs...) {
		if _, err := strict64.DecodeString(sig.Base64); err != nil {
			return nil, fmt.Errorf("the signature of %s is not canonical base64", sig.Name)
		}
	}
	for _, sig := range n.Sigs {
		byLog = byLog || sig.Name == t.log.Name() && sig.Hash == t.log.KeyHash()
		for _, w := range t.witnesses {
			if sig.Name == w.name && sig.Hash == w.hash {
				raw, _ := strict64.DecodeString(sig.Base64)
				cosigned[w.name] = binary.BigEndian.Uint64(raw[4:])
				signed[string(w.key)] = cosigned[w.name]
			}
		}
	}
	if !byLog {
		return nil, fmt.Errorf("%s has not signed it", t.log.Name())
	}
	if len(signed) < quorum {
		return nil, fmt.Errorf("cosigned by %d known witnesses, not %d", len(signed), quorum)
	}
	c, err := parseCheckpoint(n.Text)
	if err != nil {
		return nil, err
	}
	if c.origin != t.log.Name() {
		return nil, fmt.Errorf("it is of origin %q, the key of %q", c.origin, t.log.Name())
	}
	c.cosigned = cosigned
	return c, nil
}

// parseCheckpoint reads origin, decimal size and base64 root, a line each; brakeline writes no extension lines.
func parseCheckpoint(text string) (*checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return nil, fmt.Errorf("a checkpoint has three lines")
	}
	size, err := decimal(lines[1])
	if err != nil {
		return nil, err
	}
	root, err := strict64.DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return nil, fmt.Errorf("%q is no root hash", lines[2])
	}
	c := &checkpoint{origin: lines[0], size: size}
	copy(c.root[:], root)
	return c, nil
}

func decimal(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != text {
		return 0, fmt.Errorf("%q is no decimal number", text)
	}
	return n, nil
}

// checkReceipt judges a receipt by keys alone: the entry it carries stands under the checkpoint it carries.
func checkReceipt(path string, keys *trusted, quorum int) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	split := bytes.Index(data, []byte("\n\n"))
	if split < 0 {
		return fmt.Errorf("no empty line before the checkpoint")
	}
	lines := strings.Split(string(data[:split]), "\n")
	if len(lines) < 3 || lines[0] != proofHeader ||
		!strings.HasPrefix(lines[1], "extra ") || !strings.HasPrefix(lines[2], "index ") {
		return fmt.Errorf("it does not begin with %s, extra, index", proofHeader)
	}
	entry, err := strict64.DecodeString(lines[1][len("extra "):])
	if err != nil {
		return fmt.Errorf("extra: %v", err)
	}
	index, err := decimal(lines[2][len("index "):])
	if err != nil {
		return err
	}
	var proof tlog.RecordProof
	for _, line := range lines[3:] {
		raw, err := strict64.DecodeString(line)
		if err != nil || len(raw) != tlog.HashSize {
			return fmt.Errorf("%q is no hash", line)
		}
		var hash tlog.Hash
		copy(hash[:], raw)
		proof = append(proof, hash)
	}
	head, err := keys.open(data[split+2:], quorum)
	if err != nil {
		return fmt.Errorf("checkpoint: %v", err)
	}
	return tlog.CheckRecord(proof, head.size, head.root, index, tlog.RecordHash(entry))
}

// goSigned is the way back: a checkpoint over a root that Go made, signed and cosigned by keys that Go made.
type goSigned struct {
	Key       string `json:"key"`
	Witness   string `json:"witness"`
	Timestamp uint64 `json:"timestamp"`
	Note      string `json:"note"`
}

// A cosigner is a witness that can sign; it implements note.Signer.
type cosigner struct {
	witness
	private   ed25519.PrivateKey
	timestamp uint64
}

func (c *cosigner) Sign(msg []byte) ([]byte, error) {
	sig := make([]byte, 8)
	binary.BigEndian.PutUint64(sig, c.timestamp)
	return append(sig, ed25519.Sign(c.private, cosignedMessage(c.timestamp, msg))...), nil
}

func signAsGo(size int64, tiles tlog.HashReader) (*goSigned, error) {
	const origin, name, timestamp = "go.example/log", "go.example/witness", 1767225600
	root, err := rootOf(size, tiles)
	if err != nil {
		return nil, err
	}
	secret, key, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return nil, err
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		return nil, err
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	w := &cosigner{witness{name, witnessID(name, public), public}, private, timestamp}
	text := fmt.Sprintf("%s\n%d\n%v\n", origin, size, root)
	data, err := note.Sign(&note.Note{Text: text}, signer, w)
	if err != nil {
		return nil, err
	}
	material := append([]byte{algCosignature}, public...)
	vkey := fmt.Sprintf("%s+%08x+%s", name, w.hash, base64.StdEncoding.EncodeToString(material))
	return &goSigned{key, vkey, timestamp, string(data)}, nil
}
