package table

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Writer writes tables that Reader reads back as they were. The first row is the
// header; its names have no white space around them. A cell holds no NUL. Where
// fields are parted by tabs, no cell holds a tab and a line end both, for such
// quoted fields are what Reader takes for text with a stray quote.
type Writer struct {
	w      *bufio.Writer
	d      Dialect
	fields int // of the first row
	mark   bool
	err    error
}

// NewWriter returns a writer of tables of the dialect d.
func NewWriter(w io.Writer, d Dialect) *Writer { return &Writer{w: bufio.NewWriter(w), d: d} }

// NewSpreadsheet returns a writer of tables that spreadsheets open: a byte order
// mark tells them that the text is UTF-8. Cells of foreign text go through Guard.
func NewSpreadsheet(w io.Writer, d Dialect) *Writer {
	t := NewWriter(w, d)
	t.mark = true
	return t
}

// Write writes a row. All rows have as many cells as the first.
func (w *Writer) Write(row ...string) error {
	if w.err != nil {
		return w.err
	}
	if w.mark {
		w.mark = false
		w.w.WriteString("\ufeff")
	}
	if w.fields == 0 {
		w.fields = len(row)
	}
	if len(row) != w.fields || len(row) == 0 {
		return fmt.Errorf("cannot write a row of %d cells to a table of %d columns", len(row), w.fields)
	}
	empty := true
	for _, cell := range row {
		empty = empty && cell == ""
		if w.d.Comma == '\t' && strings.ContainsRune(cell, '\t') && strings.ContainsAny(cell, "\r\n") {
			return fmt.Errorf("cannot write the cell %.40q to a table that is parted by tabs: it holds a tab and a line end (write a table that is parted by commas)", cell)
		}
	}
	for i, cell := range row {
		if i > 0 {
			w.w.WriteRune(w.d.Comma)
		}
		// An empty row would be a blank line, which is passed over.
		if quote := i == 0 && empty || w.quotes(cell); !quote {
			w.w.WriteString(cell)
			continue
		}
		w.w.WriteByte('"')
		if w.d.Backslash {
			cell = strings.ReplaceAll(cell, `\`, `\\`)
			cell = strings.ReplaceAll(cell, `"`, `\"`)
		} else {
			cell = strings.ReplaceAll(cell, `"`, `""`)
		}
		w.w.WriteString(cell)
		w.w.WriteByte('"')
	}
	w.err = w.w.WriteByte('\n')
	return w.err
}

// quotes reports whether cell has to be quoted, for Reader or for another that
// recognises what parts fields.
func (w *Writer) quotes(cell string) bool {
	if cell == "" {
		return false
	}
	first, _ := utf8.DecodeRuneInString(cell)
	last, _ := utf8.DecodeLastRuneInString(cell)
	space := func(c rune) bool { return unicode.IsSpace(c) || c == '\ufeff' }
	return space(first) || space(last) || strings.ContainsAny(cell, "\"\r\n,;|\t") || strings.ContainsRune(cell, w.d.Comma) ||
		len(cell) >= 4 && strings.EqualFold(cell[:4], "sep=")
}

// Flush writes out what is buffered.
func (w *Writer) Flush() error {
	if w.err == nil {
		w.err = w.w.Flush()
	}
	return w.err
}

// Guard returns cell such that a spreadsheet shows it as text and saves it as it was.
// One that begins with =, +, -, @, a tab or a carriage return would be a formula,
// which may read other cells and call programs; a space before it makes it text. One
// that looks like a number or a date, such as an id 00123, 4006381333931 or 1-2, would
// be saved as the spreadsheet shows it, 4.01E+12; a no-break space keeps it. Numbers
// that we write ourselves need no guard. Unguard undoes it; so does trimming white space.
func Guard(cell string) string {
	switch {
	case isFormula(strings.TrimLeft(cell, " ")):
		return " " + cell
	case looksLikeNumber.MatchString(strings.TrimLeft(cell, noBreak)):
		return noBreak + cell
	}
	return cell
}

// Unguard returns what Guard was given.
func Unguard(cell string) string {
	if strings.HasPrefix(cell, " ") && isFormula(strings.TrimLeft(cell, " ")) {
		return cell[1:]
	}
	if rest, ok := strings.CutPrefix(cell, noBreak); ok && looksLikeNumber.MatchString(strings.TrimLeft(rest, noBreak)) {
		return rest
	}
	return cell
}

// noBreak is the no-break space, which spreadsheets do not skip before a number.
const noBreak = "\u00a0"

// looksLikeNumber matches what spreadsheets take for a number or a date and write
// otherwise than it was: leading zeros, more digits than they show, powers of ten,
// fractions, days and months.
var looksLikeNumber = regexp.MustCompile(`^(?i)(0[0-9]+|[0-9]{12,}|[0-9]+(\.[0-9]+)?e[0-9]+|[0-9]{1,4}[-/.][0-9]{1,2}([-/.][0-9]{1,4})?|(jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec)[a-z]*[ -]?[0-9]{1,4}|[0-9]{1,2}[ -]?(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*)$`)

func isFormula(s string) bool { return s != "" && strings.IndexByte("=+-@\t\r", s[0]) >= 0 }
