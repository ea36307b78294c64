package train

import (
	"fmt"
	"strings"
)

// Merge applies trained weights, in full or as LoRA matrices of the given alpha, to
// those of the network they were trained from, and returns the weights that
// changed, by name. blend draws them back: 0 takes the trained ones, 1 the
// network's own (Wortsman et al., 2022). The same input gives the same bits.
func Merge(network func(name string) (values []float32, dims []int, ok bool), trained []Weight, alpha, blend float64) (map[string][]float32, error) {
	if !(blend >= 0 && blend <= 1) {
		return nil, fmt.Errorf("cannot merge: blend %g is not within 0..1", blend)
	}
	byName := map[string]*Weight{}
	for i := range trained {
		byName[trained[i].Name] = &trained[i]
	}
	out := map[string][]float32{}
	for i := range trained {
		w := &trained[i]
		name, isLoRA := strings.CutSuffix(w.Name, loraA)
		if strings.HasSuffix(w.Name, loraB) {
			continue // comes with its other half
		}
		old, dims, ok := network(name)
		if !ok {
			return nil, fmt.Errorf("cannot merge: the network has no weight %q", name)
		}
		fresh := w.Values
		if isLoRA {
			b := byName[name+loraB]
			if b == nil || len(dims) != 2 || len(w.Dims) != 2 || len(b.Dims) != 2 || w.Dims[0] != dims[0] || b.Dims[1] != dims[1] || w.Dims[1] != b.Dims[0] {
				return nil, fmt.Errorf("cannot merge: the matrices of LoRA for %s do not fit it", name)
			}
			fresh = adapted(old, w, b, float32(alpha/float64(w.Dims[1])))
		}
		if len(fresh) != len(old) {
			return nil, fmt.Errorf("cannot merge: %s has %d values, not %d", name, len(fresh), len(old))
		}
		mixed := make([]float32, len(old))
		for j := range mixed {
			mixed[j] = fresh[j] + float32(blend)*(old[j]-fresh[j])
		}
		out[name] = mixed
	}
	return out, nil
}

// adapted is old + scale*a*b.
func adapted(old []float32, a, b *Weight, scale float32) []float32 {
	rows, rank, cols := a.Dims[0], a.Dims[1], b.Dims[1]
	out := make([]float32, len(old))
	copy(out, old)
	for i := range rows {
		row := out[i*cols : (i+1)*cols]
		for r := range rank {
			x := scale * a.Values[i*rank+r]
			for j, y := range b.Values[r*cols : (r+1)*cols] {
				row[j] += x * y
			}
		}
	}
	return out
}
