package store

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"
	"unsafe"

	"github.com/bits-and-blooms/bitset"
	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sys/unix"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/engine"
	"github.com/trirank/trirank/internal/checksum"
	"github.com/trirank/trirank/internal/regular"
	"github.com/trirank/trirank/judgments"
)

// Files of the products folder; docs/formats.md has their layout.
const (
	productsFolder = "products"
	recordsFile    = "products.jsonl"  // the products, a line each
	offsetsFile    = "offsets.bin"     // where each line begins, uint64, and the end
	idsFile        = "ids.bin"         // the ids, one after the other
	idOffsetsFile  = "id-offsets.bin"  // where each id begins, uint64, and the end
	idOrderFile    = "id-order.bin"    // the rows in order of id, uint32
	columnsFile    = "columns.bin"     // what filters look at: column, a row
	dictionaryFile = "dictionary.json" // what the numbers in columns mean
)

var productFiles = []string{recordsFile, offsetsFile, idsFile, idOffsetsFile, idOrderFile, columnsFile, dictionaryFile}

// column is a row of columns.bin.
type column struct {
	brand, category uint32 // places in the dictionary
	price           float32
}

const columnBytes = 12

type dictionary struct {
	Brands     []string   `json:"brands"` // folded
	Categories [][]string `json:"categories"`
}

// fold makes equal what filters treat as equal.
func fold(s string) string { return judgments.Fold(s) }

// interner numbers distinct strings.
type interner map[string]uint32

func (in interner) id(s string) uint32 {
	id, ok := in[s]
	if !ok {
		id = uint32(len(in))
		in[s] = id
	}
	return id
}

func (in interner) list() []string {
	out := make([]string, len(in))
	for s, id := range in {
		out[id] = s
	}
	return out
}

// writeProducts writes the products folder, and returns what it wrote. Memory grows by
// about the length of an id a product.
func writeProducts(ctx context.Context, dir string, products iter.Seq2[catalog.Product, error], progress func(int)) (rows int, written checksum.Files, err error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return 0, nil, err
	}
	var files []*os.File
	defer func() {
		for _, f := range files {
			err = errors.Join(err, f.Close())
		}
	}()
	sums := map[string]*checksum.Writer{}
	open := func(name string) *bufio.Writer {
		f, e := os.Create(filepath.Join(dir, name))
		if e != nil {
			err = errors.Join(err, e)
			return nil
		}
		files = append(files, f)
		sums[name] = checksum.NewWriter(f)
		return bufio.NewWriterSize(sums[name], 1<<20)
	}
	records, offsets, ids, idOffsets, columns := open(recordsFile), open(offsetsFile), open(idsFile), open(idOffsetsFile), open(columnsFile)
	if err != nil {
		return 0, nil, err
	}
	u64 := func(w io.Writer, v uint64) { w.Write(binary.LittleEndian.AppendUint64(nil, v)) } // bufio keeps the error
	brands, categories := interner{}, interner{}
	var at, idAt uint64
	var allIDs []string
	for p, err := range products {
		if err != nil {
			return 0, nil, err
		}
		if err := ctx.Err(); err != nil {
			return 0, nil, err
		}
		line, err := json.Marshal(p)
		if err != nil {
			return 0, nil, fmt.Errorf("product %s: %w", p.ID, err)
		}
		u64(offsets, at)
		u64(idOffsets, idAt)
		records.Write(append(line, '\n'))
		ids.WriteString(p.ID)
		path, _ := json.Marshal(p.Category) // cannot fail: a list of strings
		columns.Write(binary.LittleEndian.AppendUint32(nil, brands.id(fold(p.Brand))))
		columns.Write(binary.LittleEndian.AppendUint32(nil, categories.id(string(path))))
		columns.Write(binary.LittleEndian.AppendUint32(nil, math.Float32bits(float32(p.Price))))
		at += uint64(len(line)) + 1
		idAt += uint64(len(p.ID))
		allIDs = append(allIDs, p.ID)
		if rows++; progress != nil && rows%1000 == 0 {
			progress(rows)
		}
	}
	u64(offsets, at)
	u64(idOffsets, idAt)
	if rows == 0 || rows > math.MaxInt32 {
		return 0, nil, fmt.Errorf("a catalogue of %d products cannot be indexed", rows)
	}
	order := make([]uint32, rows)
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(a, b uint32) int { return cmp.Compare(allIDs[a], allIDs[b]) })
	for i, row := range order[1:] {
		if allIDs[row] == allIDs[order[i]] {
			return 0, nil, fmt.Errorf("two products have the id %q", allIDs[row])
		}
	}
	idOrder := open(idOrderFile)
	dict := open(dictionaryFile)
	if err != nil {
		return 0, nil, err
	}
	for _, row := range order {
		idOrder.Write(binary.LittleEndian.AppendUint32(nil, row))
	}
	d := dictionary{Brands: brands.list()}
	for _, path := range categories.list() {
		var levels []string
		if err := json.Unmarshal([]byte(path), &levels); err != nil {
			return 0, nil, err
		}
		d.Categories = append(d.Categories, levels)
	}
	if err := json.NewEncoder(dict).Encode(d); err != nil {
		return 0, nil, err
	}
	for _, w := range []*bufio.Writer{records, offsets, ids, idOffsets, columns, idOrder, dict} {
		if err := w.Flush(); err != nil {
			return 0, nil, err
		}
	}
	if progress != nil {
		progress(rows)
	}
	written = checksum.Files{}
	for name, w := range sums {
		written[name] = w.Sum()
	}
	return rows, written, nil
}

// products implements engine.Products over memory-mapped files: what is not
// looked at costs no memory.
type products struct {
	rows      int
	records   []byte
	offsets   []uint64
	ids       []byte
	idOffsets []uint64
	idOrder   []uint32
	idPlaces  []uint32 // of rows in idOrder; 4 bytes a product
	columns   []byte
	dict      dictionary
	judged    *judged
	read      *lru.Cache[uint32, *catalog.Product]

	maps [][]byte
}

func openProducts(dir string, rows int) (_ *products, err error) {
	p := &products{rows: rows}
	if p.read, err = lru.New[uint32, *catalog.Product](productsKept); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	mapped := func(name string, want int) []byte {
		if err != nil {
			return nil
		}
		var b []byte
		if b, err = mmap(filepath.Join(dir, name)); err != nil {
			return nil
		}
		p.maps = append(p.maps, b)
		if want >= 0 && len(b) != want {
			err = fmt.Errorf("%s has %d bytes, not %d", name, len(b), want)
		}
		return b
	}
	p.records = mapped(recordsFile, -1)
	offsets := mapped(offsetsFile, 8*(rows+1))
	p.ids = mapped(idsFile, -1)
	idOffsets := mapped(idOffsetsFile, 8*(rows+1))
	idOrder := mapped(idOrderFile, 4*rows)
	p.columns = mapped(columnsFile, columnBytes*rows)
	dict := mapped(dictionaryFile, -1)
	if err != nil {
		return nil, err
	}
	p.offsets = unsafe.Slice((*uint64)(unsafe.Pointer(&offsets[0])), rows+1)
	p.idOffsets = unsafe.Slice((*uint64)(unsafe.Pointer(&idOffsets[0])), rows+1)
	p.idOrder = unsafe.Slice((*uint32)(unsafe.Pointer(&idOrder[0])), rows)
	if err := json.Unmarshal(dict, &p.dict); err != nil {
		return nil, fmt.Errorf("%s: %w", dictionaryFile, err)
	}
	if p.offsets[rows] != uint64(len(p.records)) || p.idOffsets[rows] != uint64(len(p.ids)) || !slices.IsSorted(p.offsets) || !slices.IsSorted(p.idOffsets) {
		return nil, errors.New("the offsets of the products are damaged")
	}
	p.idPlaces = make([]uint32, rows)
	for i, row := range p.idOrder {
		if int(row) >= rows {
			return nil, errors.New("the order of the product ids is damaged")
		}
		p.idPlaces[row] = uint32(i)
	}
	for i := range rows {
		if c := p.column(i); int(c.brand) >= len(p.dict.Brands) || int(c.category) >= len(p.dict.Categories) {
			return nil, errors.New("the columns of the products are damaged")
		}
	}
	return p, nil
}

func mmap(path string) ([]byte, error) {
	f, err := regular.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() == 0 {
		return nil, fmt.Errorf("%s is empty", path)
	}
	return unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
}

func (p *products) close() (err error) {
	for _, b := range p.maps {
		err = errors.Join(err, unix.Munmap(b))
	}
	*p = products{}
	return err
}

// Len implements engine.Products.
func (p *products) Len() int { return p.rows }

// id returns the bytes of an id, which must not outlive the index.
func (p *products) id(row uint32) []byte { return p.ids[p.idOffsets[row]:p.idOffsets[row+1]] }

// ID implements engine.Products.
func (p *products) ID(row uint32) string { return string(p.id(row)) }

// Row implements engine.Products.
func (p *products) Row(id string) (uint32, bool) {
	i, ok := slices.BinarySearchFunc(p.idOrder, []byte(id), func(row uint32, id []byte) int { return bytes.Compare(p.id(row), id) })
	if !ok {
		return 0, false
	}
	return p.idOrder[i], true
}

// Reading a product's record takes longer than to find it, so those that are shown
// often are kept as they were read: so many, each of a record of so many bytes at most.
const (
	productsKept = 8192
	recordKept   = 4096
)

// CompareIDs implements engine.Products.
func (p *products) CompareIDs(a, b uint32) int { return cmp.Compare(p.idPlaces[a], p.idPlaces[b]) }

// Product implements engine.Products. What it returns may be shared and must not be
// changed.
func (p *products) Product(row uint32) (out catalog.Product, err error) {
	if int(row) >= p.rows {
		return out, fmt.Errorf("there is no row %d", row)
	}
	if known, ok := p.read.Get(row); ok {
		return *known, nil
	}
	record := p.records[p.offsets[row]:p.offsets[row+1]]
	if err = json.Unmarshal(record, &out); err == nil && len(record) <= recordKept {
		p.read.Add(row, &out)
	}
	return out, err
}

func (p *products) column(row int) column {
	b := p.columns[columnBytes*row:]
	return column{binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:]), math.Float32frombits(binary.LittleEndian.Uint32(b[8:]))}
}

// Filter implements engine.Products by one pass over the columns.
func (p *products) Filter(f engine.Filter) *bitset.BitSet {
	matches := func(wanted, values []string) bool {
		return slices.ContainsFunc(values, func(v string) bool { return slices.Contains(wanted, fold(v)) })
	}
	foldAll := func(in []string) (out []string) {
		for _, s := range in {
			out = append(out, fold(s))
		}
		return out
	}
	wantBrands, wantCategories := foldAll(f.Brands), foldAll(f.Categories)
	brands, categories := make([]bool, len(p.dict.Brands)), make([]bool, len(p.dict.Categories))
	for i, b := range p.dict.Brands {
		brands[i] = len(wantBrands) == 0 || slices.Contains(wantBrands, b)
	}
	for i, path := range p.dict.Categories {
		categories[i] = len(wantCategories) == 0 || matches(wantCategories, path)
	}
	allow := bitset.New(uint(p.rows))
	low, high := float32(f.MinPrice), float32(f.MaxPrice) // rounded as the column is
	for row := range p.rows {
		c := p.column(row)
		if brands[c.brand] && categories[c.category] &&
			(low == 0 || c.price >= low) && (high == 0 || c.price > 0 && c.price <= high) {
			allow.Set(uint(row))
		}
	}
	return allow
}

// Judged implements engine.Products.
func (p *products) Judged(query string) map[uint32]judgments.Label { return p.judged.of(query) }
