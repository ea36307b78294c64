package train

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestPack checks that every text lies somewhere, whole and alone.
func TestPack(t *testing.T) {
	g := rand.New(rand.NewPCG(5, 6))
	for round := range 50 {
		var texts [][]int32
		tokensIn, fillers := 0, 0
		for range 1 + g.IntN(60) {
			x := tokens(g, g.IntN(24))
			texts = append(texts, x)
			if tokensIn += min(len(x), 16); len(x) == 0 {
				fillers++
			}
		}
		tokensIn += min(fillers, 1) // one stands for all
		p := pack(texts, 16)
		m := p.matrix(0, len(p.rows)+1)
		taken := 0
		for _, s := range m.segments {
			if s > 0 {
				taken++
			}
		}
		if taken != tokensIn {
			t.Fatalf("round %d: %d places are taken by %d tokens", round, taken, tokensIn)
		}
		found := map[int]bool{}
		p.each(0, len(p.rows), func(row, slot, at, text int) {
			found[text] = true
			if p.place[text] != int32(row*p.slots+slot) {
				t.Fatalf("round %d: text %d is at %d, not at %d", round, text, row*p.slots+slot, p.place[text])
			}
			sum := float32(0)
			for j := range p.cols {
				cell := row*p.cols + j
				inside := j >= at && j < at+p.len(text)
				if (m.segments[cell] == int32(slot+1)) != inside {
					t.Fatalf("round %d: text %d shares its place", round, text)
				}
				if inside && len(texts[text]) > 0 && (m.ids[cell] != texts[text][j-at] || m.positions[cell] != int32(j-at)) {
					t.Fatalf("round %d: token %d of text %d is %d at position %d", round, j-at, text, m.ids[cell], m.positions[cell])
				}
				sum += m.mean[(row*p.slots+slot)*p.cols+j]
			}
			if math.Abs(float64(sum)-1) > 1e-5 {
				t.Fatalf("round %d: the mean of text %d has weights of %g", round, text, sum)
			}
		})
		if want := len(texts) - max(0, fillers-1); len(found) != want {
			t.Fatalf("round %d: %d of %d texts were packed", round, len(found), want)
		}
		if full := (tokensIn + 15) / 16; len(texts) > 20 && len(p.rows) > full+full/3+2 {
			t.Errorf("round %d: %d rows for what fits %d", round, len(p.rows), full)
		}
	}
}

// TestPackedVectors checks that a text's vector does not depend on its neighbours.
func TestPackedVectors(t *testing.T) {
	c := tinyConfig()
	tr, err := NewTrainer(openDevice(t), tiny(), &c)
	if err != nil {
		t.Fatal(err)
	}
	texts := tinyData().texts()
	tr.width = 16
	together, err := tr.Vectors(t.Context(), texts)
	if err != nil {
		t.Fatal(err)
	}
	dim := tr.Dimension()
	for i, x := range texts {
		if i%4 > 0 {
			continue
		}
		alone, err := tr.Vectors(t.Context(), [][]int32{x})
		if err != nil {
			t.Fatal(err)
		}
		for j, v := range alone {
			if math.Abs(float64(v-together[i*dim+j])) > 1e-5 {
				t.Fatalf("text %d: value %d is %g alone and %g in company", i, j, v, together[i*dim+j])
			}
		}
	}
}
