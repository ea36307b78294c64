package quantize

import (
	"encoding/binary"
	"fmt"
	"math"
)

// greatest is the greatest number of 8 bits that has a negative as well: weights are
// rounded symmetrically, so that 0 stays 0.
const greatest = 127

// matrix is weights, row by row.
type matrix struct {
	rows, cols int
	values     []float32
}

func newMatrix(raw []byte, rows, cols int) (*matrix, error) {
	m := &matrix{rows, cols, make([]float32, rows*cols)}
	for i := range m.values {
		v := math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		if v-v != 0 {
			return nil, fmt.Errorf("value %d is %v", i, v)
		}
		m.values[i] = v
	}
	return m, nil
}

// turned is the transpose of m.
func (m *matrix) turned() *matrix {
	out := &matrix{m.cols, m.rows, make([]float32, len(m.values))}
	for i, v := range m.values {
		out.values[i%m.cols*m.rows+i/m.cols] = v
	}
	return out
}

// scaleOf is the step between two numbers of 8 bits that stand for values up to
// most.
func scaleOf(most float32) float32 {
	// The least normal number keeps 1/scale finite.
	return max(most/greatest, 0x1p-126)
}

func round(v, scale float32) int8 {
	return int8(math.RoundToEven(float64(v / scale)))
}

// scaleRows multiplies each row by a factor.
func (m *matrix) scaleRows(by []float32) {
	for i := range m.values {
		m.values[i] *= by[i/m.cols]
	}
}

// byRow rounds each row with a scale of its own.
func (m *matrix) byRow() (q []byte, scales []float32) {
	q, scales = make([]byte, len(m.values)), make([]float32, m.rows)
	for i := range m.rows {
		row := m.values[i*m.cols : (i+1)*m.cols]
		scales[i] = scaleOf(magnitude(row))
		for j, v := range row {
			q[i*m.cols+j] = byte(round(v, scales[i]))
		}
	}
	return q, scales
}

// byColumn rounds each column with a scale of its own, to numbers without sign.
func (m *matrix) byColumn() (q []byte, scales []float32) {
	q, scales = make([]byte, len(m.values)), make([]float32, m.cols)
	for i, v := range m.values {
		scales[i%m.cols] = max(scales[i%m.cols], abs(v))
	}
	for j, most := range scales {
		scales[j] = scaleOf(most)
	}
	for i, v := range m.values {
		q[i] = byte(int(round(v, scales[i%m.cols])) + middle)
	}
	return q, scales
}

// byBlock rounds each size values of a column with a scale of their own, to numbers
// without sign. The result is column by column, its last block filled up with what
// stands for 0.
func (m *matrix) byBlock(size int) (q []byte, scales []float32) {
	block := make([]float32, size)
	for j := range m.cols {
		for from := 0; from < m.rows; from += size {
			clear(block)
			for i := from; i < min(from+size, m.rows); i++ {
				block[i-from] = m.values[i*m.cols+j]
			}
			scale := scaleOf(magnitude(block))
			scales = append(scales, scale)
			for _, v := range block {
				q = append(q, byte(int(round(v, scale))+middle))
			}
		}
	}
	return q, scales
}

func magnitude(values []float32) (most float32) {
	for _, v := range values {
		most = max(most, abs(v))
	}
	return most
}

func abs(v float32) float32 { return math.Float32frombits(math.Float32bits(v) &^ (1 << 31)) }
