package train

import (
	"slices"

	"github.com/trirank/trirank/judgments"
)

// Role is what a judged product is for in training.
type Role int8

// The roles.
const (
	Wrong Role = iota // a hard negative
	Near              // never taken for wrong, and right only with a share of its own
	Right             // what is to be found
)

// Meaning is what a label means to training.
type Meaning struct {
	Role  Role
	Gain  float32 // from 0 to 1: ListNet's targets follow it
	Grade float32 // orders labels for CoSENT
	level int32   // in the scale of a validation
}

// Meanings says what each label of a scale means.
type Meanings struct {
	of       map[judgments.Label]Meaning
	scale    judgments.Scale
	gains    judgments.GainTable
	relevant []bool
}

// nearGain is the share of the greatest gain from which on a label that is not
// relevant is not wrong either.
const nearGain = .1

// NewMeanings says what the labels of a scale mean with the given gains: relevant ones
// are Right, others with a tenth of the greatest gain or more are Near.
func NewMeanings(scale judgments.Scale, gains judgments.GainTable, relevant []bool) *Meanings {
	m := &Meanings{of: map[judgments.Label]Meaning{}, scale: scale, gains: gains, relevant: relevant}
	most := slices.Max(gains.Gains)
	for i, l := range scale.Levels {
		x := Meaning{Gain: float32(gains.Gains[i] / most), Grade: float32(i), level: int32(i)}
		switch {
		case relevant[i]:
			x.Role = Right
		case x.Gain >= nearGain:
			x.Role = Near
		}
		m.of[l.Label] = x
	}
	return m
}

// esciMeanings are E right, S near, C and I wrong, with the gains of ESCI's authors.
var esciMeanings = func() *Meanings {
	s := judgments.ESCI()
	return NewMeanings(s, s.Tables()[0], []bool{false, false, false, true})
}()

// meaning of a product for a query; ok is false if nobody judged it.
func (d *Data) meaning(q *Query, product int) (m Meaning, ok bool) {
	for _, j := range q.Judged {
		if j.Product == product {
			return d.means(j.Label)
		}
	}
	return Meaning{}, false
}

func (d *Data) means(l judgments.Label) (Meaning, bool) {
	m, ok := d.meanings().of[l]
	return m, ok
}

func (d *Data) meanings() *Meanings {
	if d.Meanings != nil {
		return d.Meanings
	}
	return esciMeanings
}

// Role of a label; Wrong for one that is not of the scale.
func (m *Meanings) Role(l judgments.Label) Role { return m.of[l].Role }
