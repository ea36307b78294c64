package parquetfile

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"
)

// refusal is of what is sound and not read, rather than damaged.
type refusal struct{ error }

func refuse(format string, args ...any) error { return &refusal{fmt.Errorf(format, args...)} }

// damaged says of an error that the file is damaged, unless it is a refusal.
func damaged(err error) error {
	if no := (*refusal)(nil); errors.As(err, &no) {
		return err
	}
	return fmt.Errorf("the Parquet file is damaged: %w", err)
}

// leaf is a column of values.
type leaf struct {
	number                 int // among all leaves
	kind                   format.Type
	length                 int // of values of fixed length
	repetition, definition int // the greatest levels
	unsigned               bool
	decimal                bool
	scale                  int
	readable               bool // its values have a text
}

// columns finds the top-level columns: their names, and the leaves of those that are a
// value or a list of values. What the types mean is taken out of the schema, since the
// library would interpret them; it keeps to how values are stored.
func columns(schema []format.SchemaElement) (names []string, leaves map[string]leaf, err error) {
	w := walker{schema: schema}
	if len(schema) == 0 || !schema[0].NumChildren.Valid {
		return nil, nil, errThrift
	}
	leaves = map[string]leaf{}
	w.at = 1
	for range schema[0].NumChildren.V {
		if w.at >= len(schema) {
			return nil, nil, errThrift
		}
		name, first := schema[w.at].Name, w.at
		found, err := w.walk(0, 0, 0)
		if err != nil {
			return nil, nil, err
		}
		names = append(names, name)
		if _, twice := leaves[name]; twice {
			return nil, nil, refuse("two of its columns are called %q (rename one)", name)
		}
		if len(found) == 1 && found[0].readable && w.list(first) {
			leaves[name] = found[0]
		}
	}
	if w.at != len(schema) {
		return nil, nil, errThrift
	}
	for i := range schema {
		schema[i].LogicalType.Value = nil
		schema[i].ConvertedType.Valid, schema[i].Scale.Valid, schema[i].Precision.Valid = false, false, false
	}
	return names, leaves, nil
}

type walker struct {
	schema     []format.SchemaElement
	at, leaves int
}

// walk returns the leaves of the element at hand, which has the levels of its parent.
func (w *walker) walk(depth, repetition, definition int) ([]leaf, error) {
	if w.at >= len(w.schema) || depth > maxDepth {
		return nil, errThrift
	}
	e := &w.schema[w.at]
	w.at++
	switch e.RepetitionType.V {
	case format.Repeated:
		repetition++
		definition++
	case format.Optional:
		definition++
	}
	if !e.NumChildren.Valid || e.NumChildren.V == 0 && e.Type.Valid {
		l := newLeaf(e)
		l.number, l.repetition, l.definition = w.leaves, repetition, definition
		w.leaves++
		return []leaf{l}, nil
	}
	var all []leaf
	for range e.NumChildren.V {
		found, err := w.walk(depth+1, repetition, definition)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// list reports whether the column that begins at an element is a value or a list of
// values: one of these forms, of which other programs wrote the last two.
//
//	optional T name
//	optional group name (LIST) { repeated group list { optional T element } }
//	optional group name (LIST) { repeated T element }
//	repeated T name
func (w *walker) list(first int) bool {
	part := w.schema[first:w.at]
	repeated := func(i int) bool { return part[i].RepetitionType.V == format.Repeated }
	_, logical := part[0].LogicalType.Value.(*format.ListType)
	isList := logical || part[0].ConvertedType.Valid && part[0].ConvertedType.V == deprecated.List
	switch len(part) {
	case 1:
		return true
	case 2:
		return isList && !repeated(0) && repeated(1)
	case 3:
		return isList && !repeated(0) && repeated(1) && !repeated(2)
	}
	return false
}

func newLeaf(e *format.SchemaElement) leaf {
	l := leaf{kind: e.Type.V, length: int(e.TypeLength.V)}
	converted := deprecated.ConvertedType(-1)
	if e.ConvertedType.Valid {
		converted = e.ConvertedType.V
	}
	integer := l.kind == format.Int32 || l.kind == format.Int64
	bytes := l.kind == format.ByteArray || l.kind == format.FixedLenByteArray && l.length > 0
	switch t := e.LogicalType.Value.(type) {
	case *format.IntType:
		l.readable, l.unsigned = integer, !t.IsSigned
	case *format.DecimalType:
		l.readable, l.decimal, l.scale = integer || bytes, true, int(t.Scale)
	case *format.StringType, *format.EnumType, *format.JsonType:
		l.readable = bytes
	case nil:
		switch converted {
		case deprecated.Uint8, deprecated.Uint16, deprecated.Uint32, deprecated.Uint64:
			l.readable, l.unsigned = integer, true
		case deprecated.Int8, deprecated.Int16, deprecated.Int32, deprecated.Int64:
			l.readable = integer
		case deprecated.Decimal:
			l.readable, l.decimal, l.scale = integer || bytes, true, int(e.Scale.V)
		case deprecated.UTF8, deprecated.Enum, deprecated.Json:
			l.readable = bytes
		case -1:
			l.readable = integer || bytes || l.kind == format.Boolean || l.kind == format.Float || l.kind == format.Double
		}
	}
	if l.scale < 0 || l.scale > 1000 {
		l.readable = false
	}
	return l
}

// text spells a value, a copy.
func (l *leaf) text(v *parquet.Value) string {
	switch v.Kind() {
	case parquet.Boolean:
		return strconv.FormatBool(v.Boolean())
	case parquet.Int32:
		switch {
		case l.decimal:
			return decimal(big.NewInt(int64(v.Int32())), l.scale)
		case l.unsigned:
			return strconv.FormatUint(uint64(uint32(v.Int32())), 10)
		}
		return strconv.Itoa(int(v.Int32()))
	case parquet.Int64:
		switch {
		case l.decimal:
			return decimal(big.NewInt(v.Int64()), l.scale)
		case l.unsigned:
			return strconv.FormatUint(uint64(v.Int64()), 10)
		}
		return strconv.FormatInt(v.Int64(), 10)
	case parquet.Float:
		return number(float64(v.Float()), 32)
	case parquet.Double:
		return number(v.Double(), 64)
	case parquet.ByteArray, parquet.FixedLenByteArray:
		if l.decimal {
			return decimal(twosComplement(v.ByteArray()), l.scale)
		}
		return string(v.ByteArray())
	}
	return ""
}

// twosComplement reads a number of any length, the most significant byte first.
func twosComplement(b []byte) *big.Int {
	n := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return n
}

// decimal spells n divided by ten to the power of scale.
func decimal(n *big.Int, scale int) string {
	digits := new(big.Int).Abs(n).String()
	if scale > 0 {
		if missing := scale + 1 - len(digits); missing > 0 {
			digits = strings.Repeat("0", missing) + digits
		}
		at := len(digits) - scale
		digits = digits[:at] + "." + digits[at:]
	}
	if n.Sign() < 0 {
		return "-" + digits
	}
	return digits
}

// number spells x; that is not a number where pandas has no value.
func number(x float64, bits int) string {
	if math.IsNaN(x) {
		return ""
	}
	return strconv.FormatFloat(x, 'f', -1, bits)
}
