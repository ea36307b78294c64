package bm25

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/trirank/trirank/internal/checksum"
	"github.com/trirank/trirank/internal/regular"
)

// HeaderFile describes an index directory, and lists all its other files.
const HeaderFile = "bm25.json"

// The other files of an index directory.
const (
	lengthsFile = "lengths.bin"
	bleveDir    = "bleve"
)

// formatNumber is raised by any change that an older Open would misread.
const formatNumber = 3 // 2: text is normalised; 3: bm25.json has a checksum of its own

// header is what bm25.json holds.
type header struct {
	Format  int     `json:"format"`
	Rows    int     `json:"rows"`
	Options Options `json:"options"`
	// Totals are the sums of the lengths of each field.
	Totals []uint64 `json:"totals"`
	// Distinct is how many different terms each field has. bleve's own scores
	// depend on it.
	Distinct []int `json:"distinct"`
	// Files are all other files of the index, by slashed path.
	Files map[string]fileSum `json:"files"`
}

// fileSum says what a file holds. All are read and compared before bleve maps
// them into memory: it believes what it finds there, and one changed bit can
// make it allocate more than there is, which ends the process. The reading also
// brings into the page cache what searches need next.
type fileSum struct {
	Size   int64  `json:"size"`
	CRC32C uint32 `json:"crc32c"`
}

func sumFile(path string) (fileSum, error) {
	f, err := regular.Open(path)
	if err != nil {
		return fileSum{}, err
	}
	defer f.Close()
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	n, err := io.CopyBuffer(struct{ io.Writer }{sum}, struct{ io.Reader }{f}, make([]byte, 1<<18))
	return fileSum{Size: n, CRC32C: sum.Sum32()}, err
}

// writeHeader completes an index: it sums up all its files, makes them durable,
// and writes bm25.json last, whole or not at all.
func writeHeader(dir string, h header) error {
	tmp := filepath.Join(dir, HeaderFile+".tmp")
	f, err := os.Create(tmp)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	h.Files = map[string]fileSum{}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == tmp {
			return err
		}
		if !d.IsDir() {
			name, err := filepath.Rel(dir, path)
			if err != nil {
				return err
			}
			if h.Files[filepath.ToSlash(name)], err = sumFile(path); err != nil {
				return err
			}
		}
		return persist(path, info.Mode().Perm(), d.IsDir())
	})
	if err != nil {
		return err
	}
	data, err := checksum.MarshalJSON(h)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, filepath.Join(dir, HeaderFile)); err != nil {
		return err
	}
	return persist(dir, info.Mode().Perm(), true)
}

// persist syncs a file or directory, and gives it the permissions that the
// user's umask asks for: bleve's own bar anyone but the builder from serving.
func persist(path string, perm fs.FileMode, isDir bool) error {
	if isDir {
		perm |= perm >> 2 & 0o111 // who may read may enter
	}
	if err := os.Chmod(path, perm); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// readHeader reads bm25.json and compares the other files with it.
func readHeader(dir string) (header, error) {
	var h header
	var other *checksum.FormatError
	switch err := checksum.ReadJSON(filepath.Join(dir, HeaderFile), formatNumber, &h); {
	case errors.Is(err, fs.ErrNotExist):
		return h, fmt.Errorf("no complete index is there: %w", err)
	case errors.As(err, &other):
		return h, fmt.Errorf("%w: build it anew", err)
	case err != nil:
		return h, fmt.Errorf("%s: %w", HeaderFile, err)
	}
	if err := h.Options.Validate(); err != nil {
		return h, fmt.Errorf("%s: %w", HeaderFile, err)
	}
	h.Options = h.Options.WithDefaults()
	if n := len(h.Options.Fields); h.Rows < 1 || h.Rows > maxRows || len(h.Totals) != n || len(h.Distinct) != n {
		return h, fmt.Errorf("%s: it makes no sense", HeaderFile)
	}
	if want := int64(h.Rows) * 4 * int64(1+len(h.Totals)); h.Files[lengthsFile].Size != want {
		return h, fmt.Errorf("%s: %d rows do not go with %d bytes of lengths", HeaderFile, h.Rows, h.Files[lengthsFile].Size)
	}
	return h, compareFiles(dir, h.Files)
}

// compareFiles compares all files of an index with what bm25.json says of them. One that
// it does not list may be one that bleve would read all the same.
func compareFiles(dir string, files map[string]fileSum) error {
	found := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path == filepath.Join(dir, HeaderFile) {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		found[filepath.ToSlash(name)] = true
		if _, ok := files[filepath.ToSlash(name)]; !ok {
			return fmt.Errorf("%s is there, and %s does not list it", name, HeaderFile)
		}
		return nil
	})
	if err != nil {
		return err
	}
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for name, want := range files {
		if !found[name] { // outside of dir, too
			return fmt.Errorf("%s is missing", name)
		}
		g.Go(func() error {
			got, err := sumFile(filepath.Join(dir, filepath.FromSlash(name)))
			switch {
			case err != nil:
				return err
			case got.Size != want.Size:
				return fmt.Errorf("%s has %d bytes, not %d", name, got.Size, want.Size)
			case got.CRC32C != want.CRC32C:
				return fmt.Errorf("%s was changed: its checksum is not the one in %s", name, HeaderFile)
			}
			return nil
		})
	}
	return g.Wait()
}

// writeLengths writes lengths.bin.
func writeLengths(dir string, rows []uint32, lengths [][]uint32) error {
	f, err := os.Create(filepath.Join(dir, lengthsFile))
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<16)
	var b [4]byte
	put := func(x uint32) {
		binary.LittleEndian.PutUint32(b[:], x)
		w.Write(b[:]) // an error stays with w until Flush
	}
	for _, row := range rows {
		put(row)
	}
	for _, field := range lengths {
		for _, row := range rows {
			put(field[row])
		}
	}
	return errors.Join(w.Flush(), f.Close())
}

// lengthTable is what lengths.bin holds.
type lengthTable struct {
	rows    []uint32   // by document
	docs    []uint32   // by row: the inverse of rows
	lengths [][]uint32 // by field and document
}

// readLengths reads lengths.bin, and believes nothing in it that it can check.
func readLengths(dir string, h header) (*lengthTable, error) {
	f, err := regular.Open(filepath.Join(dir, lengthsFile))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 1<<16)
	t := &lengthTable{docs: make([]uint32, h.Rows)}
	if t.rows, err = readNumbers(r, h.Rows); err != nil {
		return nil, fmt.Errorf("%s: %w", lengthsFile, err)
	}
	for _, total := range h.Totals {
		lengths, err := readNumbers(r, h.Rows)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", lengthsFile, err)
		}
		for _, l := range lengths {
			total -= uint64(l)
		}
		if total != 0 {
			return nil, fmt.Errorf("%s does not add up to the totals that %s tells", lengthsFile, HeaderFile)
		}
		t.lengths = append(t.lengths, lengths)
	}
	seen := make([]bool, h.Rows)
	for doc, row := range t.rows {
		if int(row) >= h.Rows || seen[row] {
			return nil, fmt.Errorf("%s: row %d is beyond the last or there twice", lengthsFile, row)
		}
		seen[row] = true
		t.docs[row] = uint32(doc)
	}
	return t, nil
}

func readNumbers(r io.Reader, n int) ([]uint32, error) {
	numbers := make([]uint32, n)
	var buf [1 << 14]byte
	for i := 0; i < n; {
		chunk := buf[:min(len(buf), 4*(n-i))]
		if _, err := io.ReadFull(r, chunk); err != nil {
			return nil, err
		}
		for ; len(chunk) > 0; chunk = chunk[4:] {
			numbers[i] = binary.LittleEndian.Uint32(chunk)
			i++
		}
	}
	return numbers, nil
}
