package train

import (
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"

	"github.com/trirank/trirank/train/bert"
)

// loss is the loss of a batch as a graph: q [queries, dim] and p [queries*own, dim]
// are unit vectors, target and allowed [queries, queries*own], grades [queries, own]
// and n the number of queries that count.
func (c *Config) loss(q, p, target, allowed, grades, n *Node) *Node {
	total := c.lossOf(q, p, target, allowed, grades, n)
	for _, dim := range c.Matryoshka {
		first := func(x *Node) *Node { return bert.Unit(Slice(x, AxisRange(), AxisRange(0, dim))) }
		total = Add(total, c.lossOf(first(q), first(p), target, allowed, grades, n))
	}
	return DivScalar(total, float64(1+len(c.Matryoshka)))
}

func (c *Config) lossOf(q, p, target, allowed, grades, n *Node) *Node {
	logits := MulScalar(Einsum("qd,pd->qp", q, p), 1/c.Temperature)
	logits = Add(logits, MulScalar(AddScalar(allowed, -1), 1e9))
	// The cross-entropy of the target: InfoNCE where it is one product.
	loss := Neg(Div(ReduceAllSum(Mul(target, LogSoftmax(logits, -1))), n))
	if c.CoSENT > 0 {
		loss = Add(loss, MulScalar(c.cosent(q, p, grades, n), c.CoSENT))
	}
	return loss
}

// cosent is log(1 + sum of exp((s_worse - s_better)/t)) over all pairs of a query's
// own products, where one is judged better than the other.
func (c *Config) cosent(q, p, grades, n *Node) *Node {
	queries, own := grades.Shape().Dimensions[0], grades.Shape().Dimensions[1]
	mine := Reshape(p, queries, own, p.Shape().Dimensions[1])
	scores := MulScalar(Einsum("qd,qod->qo", q, mine), 1/c.Temperature)
	wide := func(x *Node) (*Node, *Node) { return ExpandDims(x, 2), ExpandDims(x, 1) } // [q, a, 1], [q, 1, b]
	gradeA, gradeB := wide(grades)
	scoreA, scoreB := wide(scores)
	counts := LogicalAnd(GreaterThan(gradeA, gradeB), GreaterOrEqual(gradeB, ZerosLike(gradeB)))
	terms := Where(counts, Sub(scoreB, scoreA), MulScalar(OnesLike(Sub(scoreB, scoreA)), -1e9))
	flat := Reshape(terms, queries, own*own)
	zero := Zeros(q.Graph(), Reshape(ReduceMax(flat, -1), queries, 1).Shape())
	return Div(ReduceAllSum(logSumExp(Concatenate([]*Node{zero, flat}, 1))), n)
}

// logSumExp over the last axis, safe for great values.
func logSumExp(x *Node) *Node {
	most := StopGradient(ReduceAndKeep(x, ReduceMax, -1))
	return Add(Log(ReduceSum(Exp(Sub(x, most)), -1)), Reshape(most, x.Shape().Dimensions[0]))
}

var float32Type = dtypes.Float32
