package train

import (
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"

	"github.com/trirank/trirank/train/bert"
)

// goal is what vectors should become: target and allowed [queries, queries*own],
// grades and teacher [queries, own], and n the number of queries that count.
type goal struct{ target, allowed, grades, teacher, n *Node }

// goalSize is how many inputs of a program a goal is.
const goalSize = 5

func newGoal(in []*Node) goal { return goal{in[0], in[1], in[2], in[3], in[4]} }

// loss is the loss of a batch as a graph: q [queries, dim] and p [queries*own, dim]
// are unit vectors; goal is the batch's.
func (c *Config) loss(q, p *Node, g goal) *Node {
	total := c.lossOf(q, p, g)
	for _, dim := range c.Matryoshka {
		first := func(x *Node) *Node { return bert.Unit(Slice(x, AxisRange(), AxisRange(0, dim))) }
		total = Add(total, c.lossOf(first(q), first(p), g))
	}
	return DivScalar(total, float64(1+len(c.Matryoshka)))
}

func (c *Config) lossOf(q, p *Node, g goal) *Node {
	if c.Objective == Distill {
		return c.distill(q, p, g)
	}
	logits := MulScalar(Einsum("qd,pd->qp", q, p), 1/c.Temperature)
	logits = Add(logits, MulScalar(AddScalar(g.allowed, -1), 1e9))
	// The cross-entropy of the target: InfoNCE where it is one product.
	loss := Neg(Div(ReduceAllSum(Mul(g.target, LogSoftmax(logits, -1))), g.n))
	if c.CoSENT > 0 {
		loss = Add(loss, MulScalar(c.cosent(q, p, g), c.CoSENT))
	}
	if c.TeacherWeight > 0 {
		loss = Add(loss, MulScalar(c.distill(q, p, g), c.TeacherWeight))
	}
	return loss
}

// scores are the scores [queries, own] of a query's own products.
func (c *Config) scores(q, p *Node, g goal) *Node {
	queries, own := g.grades.Shape().Dimensions[0], g.grades.Shape().Dimensions[1]
	mine := Reshape(p, queries, own, p.Shape().Dimensions[1])
	return MulScalar(Einsum("qd,qod->qo", q, mine), 1/c.Temperature)
}

// distill is the Kullback-Leibler divergence of the model's probabilities from the
// teacher's, over what the teacher scored of a query's own products.
func (c *Config) distill(q, p *Node, g goal) *Node {
	scored := GreaterOrEqual(g.teacher, ZerosLike(g.teacher))
	teacher := Where(scored, g.teacher, ZerosLike(g.teacher))
	logits := Where(scored, c.scores(q, p, g), MulScalar(OnesLike(g.teacher), -1e9))
	logTeacher := Log(MaxScalar(teacher, 1e-30))
	return Div(ReduceAllSum(Mul(teacher, Sub(logTeacher, LogSoftmax(logits, -1)))), g.n)
}

// cosent is log(1 + sum of exp((s_worse - s_better)/t)) over all pairs of a query's
// own products, where one is judged better than the other.
func (c *Config) cosent(q, p *Node, g goal) *Node {
	queries, own := g.grades.Shape().Dimensions[0], g.grades.Shape().Dimensions[1]
	scores := c.scores(q, p, g)
	wide := func(x *Node) (*Node, *Node) { return ExpandDims(x, 2), ExpandDims(x, 1) } // [q, a, 1], [q, 1, b]
	gradeA, gradeB := wide(g.grades)
	scoreA, scoreB := wide(scores)
	counts := LogicalAnd(GreaterThan(gradeA, gradeB), GreaterOrEqual(gradeB, ZerosLike(gradeB)))
	terms := Where(counts, Sub(scoreB, scoreA), MulScalar(OnesLike(Sub(scoreB, scoreA)), -1e9))
	flat := Reshape(terms, queries, own*own)
	zero := Zeros(q.Graph(), Reshape(ReduceMax(flat, -1), queries, 1).Shape())
	return Div(ReduceAllSum(logSumExp(Concatenate([]*Node{zero, flat}, 1))), g.n)
}

// logSumExp over the last axis, safe for great values.
func logSumExp(x *Node) *Node {
	most := StopGradient(ReduceAndKeep(x, ReduceMax, -1))
	return Add(Log(ReduceSum(Exp(Sub(x, most)), -1)), Reshape(most, x.Shape().Dimensions[0]))
}

var float32Type = dtypes.Float32
