package train

import (
	"slices"

	"github.com/gomlx/gomlx/core/tensors"
)

// packed is texts side by side in the rows of a matrix, so that short ones waste no
// places: a row holds several texts, each of which attends to itself alone.
type packed struct {
	cols, slots int // tokens of a row, and texts at most
	rows        [][]int
	texts       [][]int32
	place       []int32 // of each text: row*slots + slot
}

// slotTokens is how many tokens a text has at least, on average: "query: x" between
// its marks has five. A row has a slot for each of so many tokens.
const slotTokens = 4

func slotsOf(cols int) int { return (cols + slotTokens - 1) / slotTokens }

// pack lays texts into rows of cols tokens, the longest first, each into the row
// that it fills best. What is longer than a row is cut. Empty texts, the fillers of
// batches, share a place.
func pack(texts [][]int32, cols int) *packed {
	p := &packed{cols: cols, slots: slotsOf(cols), texts: texts, place: make([]int32, len(texts))}
	order := make([]int, len(texts))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return len(texts[b]) - len(texts[a]) })
	open := make([][]int, cols+1) // rows by the places they have left
	filler := -1
	for _, i := range order {
		if len(texts[i]) == 0 && filler >= 0 { // one stands for all: nothing is learnt from it
			p.place[i] = p.place[filler]
			continue
		}
		need := p.len(i)
		left := need
		for left <= cols && len(open[left]) == 0 {
			left++
		}
		row := len(p.rows)
		if left > cols {
			p.rows = append(p.rows, nil)
			left = cols
		} else {
			row = open[left][len(open[left])-1]
			open[left] = open[left][:len(open[left])-1]
		}
		p.place[i] = int32(row*p.slots + len(p.rows[row]))
		p.rows[row] = append(p.rows[row], i)
		if len(texts[i]) == 0 {
			filler = i
		}
		if len(p.rows[row]) < p.slots {
			open[left-need] = append(open[left-need], row)
		}
	}
	return p
}

// len is how many places text i takes; the filler takes one.
func (p *packed) len(i int) int { return max(1, min(len(p.texts[i]), p.cols)) }

// matrix is some rows of packed texts for the device, filled up with empty ones.
type matrix struct {
	rows, cols, slots int
	ids, positions    []int32   // [rows, cols]
	segments          []int32   // [rows, cols]; which text of its row, from 1; 0: none
	mean              []float32 // [rows, slots, cols]; weights that make the mean of a text's tokens
}

// matrix returns n rows from the first one.
func (p *packed) matrix(first, n int) *matrix {
	m := &matrix{n, p.cols, p.slots, make([]int32, n*p.cols), make([]int32, n*p.cols), make([]int32, n*p.cols), make([]float32, n*p.slots*p.cols)}
	p.each(first, n, func(row, slot, at, text int) {
		length := p.len(text)
		for j := range length {
			cell := row*p.cols + at + j
			if j < len(p.texts[text]) {
				m.ids[cell] = p.texts[text][j]
			}
			m.positions[cell], m.segments[cell] = int32(j), int32(slot+1)
			m.mean[(row*p.slots+slot)*p.cols+at+j] = 1 / float32(length)
		}
	})
	return m
}

// each tells for every text of n rows from the first one its row, counted from
// there, its slot, and the place of its first token in the row.
func (p *packed) each(first, n int, do func(row, slot, at, text int)) {
	for row := range min(n, len(p.rows)-first) {
		at := 0
		for slot, text := range p.rows[first+row] {
			do(row, slot, at, text)
			at += p.len(text)
		}
	}
}

// where returns the places of all texts for the device.
func (p *packed) where() *tensors.Tensor {
	return tensors.FromFlatDataAndDimensions(p.place, len(p.place), 1)
}

// layout is the part of a matrix that says where texts lie.
func (m *matrix) layout() []*tensors.Tensor {
	return []*tensors.Tensor{
		tensors.FromFlatDataAndDimensions(m.segments, m.rows, m.cols),
		tensors.FromFlatDataAndDimensions(m.mean, m.rows, m.slots, m.cols),
	}
}

// words is the part of a matrix that says what the texts are.
func (m *matrix) words() []*tensors.Tensor {
	return []*tensors.Tensor{
		tensors.FromFlatDataAndDimensions(m.ids, m.rows, m.cols),
		tensors.FromFlatDataAndDimensions(m.positions, m.rows, m.cols),
	}
}
