package formats

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/internal/parquetfile"
	"github.com/trirank/trirank/internal/textfile"
	"github.com/trirank/trirank/judgments"
)

// files are the files of a source by what they hold.
type files struct {
	format     Format
	products   []string
	judgments  []string
	queries    string // BEIR
	popularity string // a table beside the products
	own        bool   // a catalogue that import wrote: its texts are as they shall be
}

func (f *files) all() []string {
	all := slices.Clone(f.products)
	for _, path := range slices.Concat([]string{f.queries, f.popularity}, f.judgments) {
		if path != "" && !slices.Contains(all, path) {
			all = append(all, path)
		}
	}
	return all
}

// role is what a file holds, as far as its name and beginning tell.
type role int

const (
	other role = iota
	jsonProducts
	csvProducts
	xmlProducts
	csvJudgments
	csvPopularity
	parquetProducts // of ESCI
	parquetOther    // products of others
	parquetJudgments
	parquetBoth
	beirCorpus
	beirQueries
	beirQrels
)

// find sorts the files that paths name, or that the folders among paths hold.
func find(paths []string, o Options) (*files, error) {
	if len(paths) == 0 {
		return nil, errors.New("no file is given")
	}
	byRole := map[role][]string{}
	own, folders := false, false
	for _, path := range paths {
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("%s: there is no such file or folder (see whether the path is right)", path)
		case err != nil:
			return nil, err
		}
		folders = folders || info.IsDir()
		list := []string{path}
		if info.IsDir() {
			if list, err = candidates(path); err != nil {
				return nil, err
			}
			if err := catalog.CheckFiles(path); err != nil {
				return nil, err
			}
			own = own || catalog.Is(path)
		}
		for _, file := range list {
			role, err := roleOf(file, o, info.IsDir())
			if err != nil {
				return nil, err
			}
			if role == other && !info.IsDir() {
				return nil, fmt.Errorf("%s: its kind is not recognized (--format can say it)", file)
			}
			byRole[role] = append(byRole[role], file)
		}
	}
	f := &files{judgments: byRole[csvJudgments], products: byRole[jsonProducts], format: JSONL, own: own}
	for _, path := range byRole[csvPopularity] {
		if f.popularity != "" {
			return nil, fmt.Errorf("%s and %s both hold popularity (give the files to read)", f.popularity, path)
		}
		f.popularity = path
	}
	switch {
	case len(byRole[beirCorpus]) > 0 && len(byRole[beirQueries]) == 1:
		f.format, f.products, f.queries, f.judgments = BEIR, byRole[beirCorpus], byRole[beirQueries][0], byRole[beirQrels]
	case len(byRole[parquetBoth]) > 0:
		f.format, f.products, f.judgments = TaskSource, byRole[parquetBoth], byRole[parquetBoth]
	case len(byRole[parquetProducts]) > 0:
		f.format, f.products, f.judgments = ESCI, byRole[parquetProducts], byRole[parquetJudgments]
	case len(byRole[parquetOther]) > 0:
		f.format, f.products = Parquet, byRole[parquetOther]
	case len(f.products) == 0 && len(byRole[xmlProducts]) > 0:
		f.format, f.products = XML, byRole[xmlProducts]
	case len(f.products) == 0:
		f.format, f.products = CSV, byRole[csvProducts]
	case o.Format == CSV && len(byRole[csvProducts]) > 0:
		f.format, f.products = CSV, byRole[csvProducts]
	}
	if len(f.products) == 0 {
		return nil, noProducts(paths, folders, byRole)
	}
	if o.Format != "" && f.format != o.Format {
		return nil, fmt.Errorf("%s: it looks like %s, not %s (leave --format out)", strings.Join(paths, ", "), f.format, o.Format)
	}
	for _, list := range [][]string{f.products, f.judgments} {
		// What a folder holds twice, in two compressions, is no larger source.
		stems := map[string]string{}
		for _, path := range list {
			if twin, ok := stems[stem(path)]; ok {
				return nil, fmt.Errorf("%s and %s hold the same (give the files to read)", twin, path)
			}
			stems[stem(path)] = path
		}
	}
	return f, nil
}

// noProducts says what there is instead of products, and what would be them.
func noProducts(paths []string, folders bool, byRole map[role][]string) error {
	what := strings.Join(paths, ", ")
	if len(byRole[beirCorpus]) > 0 {
		return fmt.Errorf("%s: a BEIR folder needs corpus.jsonl and one queries.jsonl beside it, and there are %d (give the files, or add what is missing)", what, len(byRole[beirQueries]))
	}
	held := ""
	for _, kind := range []struct {
		role role
		name string
	}{{csvJudgments, "judgements"}, {parquetJudgments, "judgements"}, {beirQrels, "judgements"}, {csvPopularity, "popularity"}} {
		if files := byRole[kind.role]; len(files) > 0 {
			held += fmt.Sprintf("; %s holds %s", strings.Join(files, ", "), kind.name)
		}
	}
	if !folders {
		return fmt.Errorf("%s: no file of products is found%s (give the file of products too, or say with --field which columns are id and title)", what, held)
	}
	return fmt.Errorf("%s: no file of products is found%s; in a folder they are called %s (each also .gz or .zst), or are Parquet files, or corpus.jsonl and queries.jsonl of BEIR (name the files themselves if they are called otherwise)",
		what, held, strings.Join(productNames, ", "))
}

// productNames are how files of products are called in a folder.
var productNames = []string{"products.jsonl", "products.json", "products.csv", "products.tsv", "products.txt", "products.xml", "product.csv"}

// stem is path without a suffix of compression.
func stem(path string) string {
	return strings.TrimSuffix(strings.TrimSuffix(path, ".gz"), ".zst")
}

// candidates lists the files in folder, and one level below, that have a place
// in some format, in the order of their names.
func candidates(folder string) ([]string, error) {
	var list []string
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(folder, path)
		depth := strings.Count(rel, string(filepath.Separator))
		if d.IsDir() {
			if path != folder && (depth > 0 || strings.HasPrefix(d.Name(), ".")) {
				return fs.SkipDir
			}
			return nil
		}
		switch base := strings.ToLower(filepath.Base(stem(path))); {
		case strings.HasSuffix(base, ".parquet"), filepath.Base(filepath.Dir(path)) == "qrels" && strings.HasSuffix(base, ".tsv"):
			list = append(list, path)
		case depth == 0 && (slices.Contains(productNames, base) || slices.Contains([]string{"judgments.csv", "judgments.tsv", "judgements.csv",
			"popularity.csv", "product_stats.csv", "corpus.jsonl", "queries.jsonl"}, base)):
			list = append(list, path)
		}
		return nil
	})
	return list, err
}

// roleOf looks at the beginning of the file at path.
func roleOf(path string, o Options, inFolder bool) (role, error) {
	base := strings.ToLower(filepath.Base(stem(path)))
	if inFolder || o.Format == BEIR {
		switch {
		case base == "corpus.jsonl":
			return beirCorpus, nil
		case base == "queries.jsonl":
			return beirQueries, nil
		case filepath.Base(filepath.Dir(path)) == "qrels":
			return beirQrels, nil
		}
	}
	f, err := textfile.Open(path)
	if err != nil {
		return other, err
	}
	defer f.Close()
	text := f.Peek()
	switch {
	case bytes.HasPrefix(text, []byte("PAR1")) || strings.HasSuffix(base, ".parquet"):
		return parquetRole(path, o)
	case len(bytes.TrimSpace(text)) == 0:
		return other, fmt.Errorf("%s: the file is empty, or cannot be decompressed", path)
	case len(text) > 1 && (text[0] == 0 || text[1] == 0):
		return other, fmt.Errorf("%s: %w", path, textfile.Legible(text))
	case isJudgments(text, o) && !looksLikeProduct(text):
		return csvJudgments, nil
	case bytes.TrimSpace(text)[0] == '{':
		return jsonProducts, nil
	case bytes.HasPrefix(bytes.TrimSpace(text), []byte("[")) && !bytes.HasPrefix(bytes.TrimSpace(text), []byte("[]")):
		return jsonProducts, nil
	case bytes.TrimSpace(text)[0] == '<':
		for _, root := range []string{"<rss", "<feed", "<rdf:RDF", "<channel"} {
			if bytes.Contains(text, []byte(root)) {
				return xmlProducts, nil
			}
		}
		return other, fmt.Errorf("%s: it is XML or HTML, but no feed of products: RSS 2.0 or Atom, as Google Merchant takes it", path)
	case o.Format == JSONL && strings.HasSuffix(base, ".jsonl"):
		return jsonProducts, nil
	case bytes.HasPrefix(text, []byte("PK\x03\x04")):
		return other, fmt.Errorf("%s: it is a zip archive (unpack it)", path)
	}
	table, err := newTable(f, o)
	if err != nil {
		return other, fmt.Errorf("%s: %w", path, err)
	}
	switch {
	case table.Column(targets[popularityTarget].names...) >= 0 && len(table.Header) <= 3 && (base == "popularity.csv" || base == "product_stats.csv"):
		return csvPopularity, nil
	case len(table.Header) > 1 || o.Format == CSV:
		return csvProducts, nil
	}
	return other, nil
}

// isJudgments reports whether a file begins as judgements do, with the columns that the
// user names or with the usual ones: of several files not all need have columns of
// their own.
func isJudgments(start []byte, o Options) bool {
	return judgments.Recognise(start, o.JudgmentFields) != "" || judgments.Recognise(start, nil) != ""
}

// looksLikeProduct reports whether a file of JSON begins with an object, alone or in a
// list, that has an id and a title.
func looksLikeProduct(start []byte) bool {
	var fields map[string]json.RawMessage
	d := json.NewDecoder(bytes.NewReader(bytes.TrimLeft(start, " \t\r\n[")))
	if d.Decode(&fields) != nil {
		return false
	}
	m, _ := newMapping(nil, nil)
	found := map[string]bool{}
	for name := range fields {
		if s, ok := m.slot(name); ok {
			found[targets[s.target].name] = true
		}
	}
	return found["id"] && found["title"]
}

func parquetRole(path string, o Options) (role, error) {
	t, err := parquetfile.Open(path)
	if err != nil {
		return other, err
	}
	defer t.Close()
	products, judgments := t.Has(esciProducts[:2]...), t.Has(esciNeeded...)
	switch {
	case products && judgments:
		return parquetBoth, nil
	case products:
		return parquetProducts, nil
	case judgments:
		return parquetJudgments, nil
	}
	m, err := newMapping(o.Fields, nil)
	if err != nil {
		return other, err
	}
	if (&reader{o: o, mapping: m}).checkColumns(t.Columns()) == nil {
		return parquetOther, nil
	}
	return other, fmt.Errorf("%s: neither the columns of ESCI's products (%s) nor those of its judgements (%s); there are %s",
		path, strings.Join(esciProducts[:2], ", "), strings.Join(esciNeeded, ", "), strings.Join(t.Columns(), ", "))
}
