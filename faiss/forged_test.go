package faiss_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/trirank/trirank/faiss"
)

// forgedKinds are those that validate looks into.
var forgedKinds = []string{"Flat", "SQ8", "SQfp16", "PQ8", "IVF8,Flat", "IVF8,SQfp16", "IVF8,PQ8", "HNSW8,Flat", "HNSW8,SQ8", "PQ16x4fs", "IVF8,PQ16x4fs,Refine(SQ8)", "PCA8,IVF8,Flat", "OPQ8,IVF8,PQ8"}

// forgeries is how many changes of each kind of index are tried in every run.
const forgeries = 40

// TestForged changes bytes of index files and gives them the right hash, as somebody who
// can write to an index directory could: an error, or a search that ends and finds ids
// that there are. A child does it, since what is wrong in C ends the process.
func TestForged(t *testing.T) {
	if dir := os.Getenv("TRIRANK_TEST_FORGED"); dir != "" {
		forge(t, dir)
		return
	}
	for _, kind := range forgedKinds {
		t.Run(kind, func(t *testing.T) {
			n := forgeries
			if s := os.Getenv("TRIRANK_TEST_FORGERIES"); s != "" {
				n, _ = strconv.Atoi(s)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			dir := t.TempDir()
			// What two indexes of other vectors have in common is what describes them.
			values := clustered(700, 16)
			for _, name := range []string{"whole", "other"} {
				if _, err := faiss.Build(ctx, filepath.Join(dir, name), values, 16, faiss.BuildOptions{Factory: kind, Recall: .5}); err != nil {
					t.Fatal(err)
				}
				for i := range values {
					values[i] = -values[(i*7+3)%len(values)]
				}
			}
			for from, more := 0, true; more; {
				c := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestForged$", "-test.count=1")
				c.Env = append(os.Environ(), "TRIRANK_TEST_FORGED="+dir, fmt.Sprintf("TRIRANK_TEST_FORGERIES=%d", n), fmt.Sprintf("TRIRANK_TEST_FORGED_FROM=%d", from), "GOMEMLIMIT=2GiB")
				var out bytes.Buffer
				c.Stdout, c.Stderr = &out, &out
				err := c.Run()
				more = false
				if err == nil {
					break
				}
				last, _ := os.ReadFile(filepath.Join(dir, "tried"))
				text := out.String()
				// AddressSanitizer ends a process that wants more memory than there is;
				// without it FAISS's reader throws, which is an error of Open.
				if strings.Contains(text, "AddressSanitizer: allocation-size-too-big") || strings.Contains(text, "AddressSanitizer: out-of-memory") {
					if tried, _, _ := strings.Cut(string(last), ":"); tried != "" {
						from, _ = strconv.Atoi(tried)
						from, more = from+1, true
						continue
					}
				}
				if len(text) > 4000 {
					text = text[:2000] + "\n...\n" + text[len(text)-2000:]
				}
				t.Errorf("a changed index of kind %s, %s: %v\n%s", kind, last, err, text)
			}
		})
	}
}

// forge tries changes of the index in dir.
func forge(t *testing.T, dir string) {
	n, err := strconv.Atoi(os.Getenv("TRIRANK_TEST_FORGERIES"))
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(filepath.Join(dir, "whole"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.ReadFile(filepath.Join(dir, "other"))
	if err != nil {
		t.Fatal(err)
	}
	var described []int
	for i := range min(len(whole), len(other)) {
		if whole[i] == other[i] {
			described = append(described, i)
		}
	}
	query := clustered(1, 16)
	path := filepath.Join(dir, "forged")
	from, _ := strconv.Atoi(os.Getenv("TRIRANK_TEST_FORGED_FROM"))
	for i := from; i < n; i++ {
		random := rand.New(rand.NewPCG(uint64(i)+1, uint64(len(whole))))
		b := bytes.Clone(whole)
		at := random.IntN(len(b))
		switch i % 4 {
		case 0: // sizes and options lie at the start, and where inner parts begin
			at = random.IntN(min(len(b), 300))
		case 1, 2:
			at = described[random.IntN(len(described))]
		}
		how := ""
		switch i % 5 {
		case 0, 1:
			b[at] ^= 1 << random.IntN(8)
			how = fmt.Sprintf("byte %d is %#x", at, b[at])
		case 2, 3: // a number of 32 bits that is zero, too large, or negative
			at = min(at, len(b)-4)
			numbers := []uint32{0, 1 << 20, 1_000_000_000, 0x00ffffff, 0xffffffff, 0x7fffffff}
			binary.LittleEndian.PutUint32(b[at:], numbers[random.IntN(len(numbers))])
			how = fmt.Sprintf("4 bytes at %d are %x", at, b[at:at+4])
		case 4:
			b = b[:at]
			how = fmt.Sprintf("cut off at %d", at)
		}
		os.WriteFile(filepath.Join(dir, "tried"), fmt.Appendf(nil, "%d: %s", i, how), 0o644)
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(b)
		x, err := faiss.Open(path, hex.EncodeToString(sum[:]))
		if err != nil {
			continue
		}
		if x.Dimension() == 16 {
			hits, err := x.Search(t.Context(), query, 10, faiss.Params{}, nil)
			for _, h := range hits {
				if int(h.ID) >= x.Len() {
					t.Errorf("%s: it finds vector %d of %d", how, h.ID, x.Len())
				}
			}
			if err == nil && x.Len() > 0 && strings.Contains(how, "cut") {
				t.Errorf("%s: searched without an error", how)
			}
		}
		x.Close()
	}
}
