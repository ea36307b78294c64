package eval

import (
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
)

// resampling is what paired statistics are made from: for each draw, the sums of
// many columns of values over one random choice of queries, the same choice for
// all columns. A difference of two systems is a difference of two columns, so
// that every pair and metric comes out of one pass whose cost does not depend on
// the number of pairs.
//
// The pass is a product of a matrix of small whole numbers (how often a draw takes
// a query) with the matrix of values. Queries are taken in groups, the sums of all
// combinations of a group are put in a table, and a draw adds one row of the table
// for each group: three times fewer additions for the bootstrap, and eight times
// for sign flips. Sums are taken in the order of the groups, so that they do not
// depend on the number of processors.
type resampling struct {
	rows, cols int
	values     []float64 // rows x cols
}

const (
	// The bootstrap takes a query at most mostTimes times through the table; what
	// is beyond (six draws in ten thousand) is added by itself.
	mostTimes      = 5
	countGroup     = 3
	countCodes     = (mostTimes + 1) * (mostTimes + 1) * (mostTimes + 1)
	signGroup      = 8
	signCodes      = 1 << signGroup
	drawsInABlock  = 512
	exactSignsUpTo = 13 // queries; 2^13 sign patterns are fewer than the draws of a test
)

// generator of the random numbers of one draw: each has its own, so that draws can
// be made in any order.
func generator(seed uint64, purpose, draw int) *rand.Rand {
	return rand.New(rand.NewPCG(seed, uint64(purpose)<<32|uint64(draw)))
}

// bootstrap returns, for each of draws, the sums of all columns over as many rows
// as there are, drawn with replacement: draws x cols.
func (r *resampling) bootstrap(draws int, seed uint64) []float64 {
	groups := (r.rows + countGroup - 1) / countGroup
	return r.blocks(draws, groups, countCodes,
		func(draw int, counts []uint16, code func(group int) *uint8, extra func(row, times int)) {
			g := generator(seed, 1, draw)
			clear(counts)
			// Two rows from each random number, by the high half of a product: that
			// some rows come up by a part in 2^32/rows more often shows nowhere.
			n := uint64(r.rows)
			for left := r.rows; left > 0; left -= 2 {
				x := g.Uint64()
				counts[(x>>32)*n>>32]++
				if left > 1 {
					counts[(x&0xffffffff)*n>>32]++
				}
			}
			for i := range groups {
				c := 0
				for j := range countGroup {
					n := int(counts[i*countGroup+j])
					if n > mostTimes {
						extra(i*countGroup+j, n-mostTimes)
						n = mostTimes
					}
					c = c*(mostTimes+1) + n
				}
				*code(i) = uint8(c)
			}
		},
		func(group int, table []float64) {
			// Entry c is the entry with one less of its last row that occurs,
			// plus that row.
			clear(table[:r.cols])
			for c := 1; c < countCodes; c++ {
				less, row := c-1, countGroup-1
				for rest, unit := c, 1; rest%(mostTimes+1) == 0; {
					rest /= mostTimes + 1
					unit *= mostTimes + 1
					less, row = c-unit, row-1
				}
				r.fill(table, c, less, group*countGroup+row)
			}
		})
}

// flips returns, for each of draws, the sums of all columns over a random half of
// the rows: those whose signs are kept. exact reports that the draws are instead
// all the 2^rows choices there are, which then is their number.
func (r *resampling) flips(draws int, seed uint64) (sums []float64, exact bool) {
	if r.rows <= exactSignsUpTo && 1<<r.rows <= draws {
		exact, draws = true, 1<<r.rows
	}
	groups := (r.rows + signGroup - 1) / signGroup
	return r.blocks(draws, groups, signCodes,
		func(draw int, _ []uint16, code func(group int) *uint8, _ func(row, times int)) {
			if exact {
				for i := range groups {
					*code(i) = uint8(draw >> (i * signGroup))
				}
				return
			}
			g := generator(seed, 2, draw)
			var bits uint64
			for i := range groups {
				if i%8 == 0 {
					bits = g.Uint64()
				}
				*code(i) = uint8(bits)
				bits >>= 8
			}
		},
		func(group int, table []float64) {
			clear(table[:r.cols])
			for c := 1; c < signCodes; c++ {
				row := 0
				for c>>row&1 == 0 {
					row++
				}
				r.fill(table, c, c&(c-1), group*signGroup+row)
			}
		}), exact
}

// fill sets an entry of a table to another plus a row of values; rows beyond the
// last are zero.
func (r *resampling) fill(table []float64, to, from, row int) {
	dst, src := table[to*r.cols:(to+1)*r.cols], table[from*r.cols:(from+1)*r.cols]
	if row >= r.rows {
		copy(dst, src)
		return
	}
	add := r.values[row*r.cols : (row+1)*r.cols]
	for i := range dst {
		dst[i] = src[i] + add[i]
	}
}

// blocks runs draws in blocks, as many at a time as there are processors. draw
// says which entry of each group's table a draw adds, and may use counts, a place for
// each row, as it likes; tabulate makes a table.
func (r *resampling) blocks(draws, groups, codes int, draw func(draw int, counts []uint16, code func(group int) *uint8, extra func(row, times int)), tabulate func(group int, table []float64)) []float64 {
	out := make([]float64, draws*r.cols)
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), (draws+drawsInABlock-1)/drawsInABlock) {
		wg.Go(func() {
			table := make([]float64, codes*r.cols)
			chosen := make([]uint8, groups*drawsInABlock) // a block's draws side by side
			counts := make([]uint16, r.rows+countGroup)
			for first := range next {
				n := min(drawsInABlock, draws-first)
				sums := out[first*r.cols : (first+n)*r.cols]
				for d := range n {
					into := sums[d*r.cols : (d+1)*r.cols]
					draw(first+d, counts,
						func(group int) *uint8 { return &chosen[group*drawsInABlock+d] },
						func(row, times int) {
							for i, v := range r.values[row*r.cols : (row+1)*r.cols] {
								into[i] += float64(times) * v
							}
						})
				}
				for group := range groups {
					tabulate(group, table)
					for d, c := range chosen[group*drawsInABlock:][:n] {
						addTo(sums[d*r.cols:(d+1)*r.cols], table[int(c)*r.cols:])
					}
				}
			}
		})
	}
	for first := 0; first < draws; first += drawsInABlock {
		next <- first
	}
	close(next)
	wg.Wait()
	return out
}

// addTo adds the start of b to a.
func addTo(a, b []float64) {
	b = b[:len(a)]
	for ; len(a) >= 4; a, b = a[4:], b[4:] {
		a[0] += b[0]
		a[1] += b[1]
		a[2] += b[2]
		a[3] += b[3]
	}
	for i := range a {
		a[i] += b[i]
	}
}

// quantile of sorted values, interpolated linearly (type 7 of Hyndman and Fan).
func quantile(sorted []float64, p float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	at := p * float64(len(sorted)-1)
	i := int(at)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}
