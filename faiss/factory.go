package faiss

// #include "shim.h"
import "C"

import (
	"fmt"
	"math"
	"regexp"
	"runtime"
	"strconv"
	"strings"

	gofaiss "github.com/DataIntelligenceCrew/go-faiss"
)

// AutoFactory is the factory string that means: choose by the number of vectors.
const AutoFactory = "auto"

// flatBelow is the number of vectors up to which exact search takes no longer
// than encoding the query does.
const flatBelow = 20_000

// PointsPerCentroid is how many training points FAISS wants for a centroid.
const PointsPerCentroid = 39

// Lists is the number of inverted lists that suits n vectors: about 4*sqrt(n) (the number
// FAISS's own guidelines start from) if there are points enough to place their centroids,
// and one at least.
func Lists(n int) int {
	return max(1, min(int(4*math.Sqrt(float64(n))), n/PointsPerCentroid))
}

// ChooseFactory returns factory, or for AutoFactory what suits n vectors of a
// dimension: exact search below 20,000, and from there inverted lists. Vectors in
// lists are of 16 bits where FAISS reads these with vector instructions: they find
// the same (docs/bench.md), and searches wait for memory.
func ChooseFactory(factory string, dimension, n int) string {
	return chooseFactory(factory, dimension, n, C.tr_vectorized() == 1)
}

func chooseFactory(factory string, dimension, n int, vectorized bool) string {
	if factory != AutoFactory && factory != "" {
		return factory
	}
	if n < flatBelow {
		return "Flat"
	}
	codes := "Flat"
	// With AVX-512 it reads 16 values at a time or, if that does not come out even, each by
	// itself; with AVX2 and on ARM 8.
	if dimension%16 == 0 && vectorized {
		codes = "SQfp16"
	}
	return fmt.Sprintf("IVF%d,%s", Lists(n), codes)
}

var (
	factoryChars = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_,()\[\]:.x-]{0,199}$`)
	number       = regexp.MustCompile(`[0-9]+`)
	ivfPart      = regexp.MustCompile(`^IVF([0-9]+)`)
	additive     = regexp.MustCompile(`^(P?RQ|P?LSQ)[0-9]`) // residual and local-search quantizers, and products of them
	pqPart       = regexp.MustCompile(`^PQ([0-9]+)(?:x([0-9]+))?`)
)

// FactoryError says why there can be no index that a factory string describes.
type FactoryError struct {
	Factory            string
	Vectors, Dimension int
	Reason             string
}

// Error names the index, the reason, and factory strings that there are.
func (e *FactoryError) Error() string {
	return fmt.Sprintf("cannot build a vector index %q of %d vectors of dimension %d: %s (Flat, IVF1024,Flat and IVF4096,SQ8 are some that there are)", e.Factory, e.Vectors, e.Dimension, e.Reason)
}

// CheckFactory reports what would make FAISS end the process, or train for
// hours, instead of returning an error: numbers of zero or beyond reason, more
// lists or codes than vectors, parts that do not divide the dimension, and inverted
// lists of additive codes. Its error is a *FactoryError.
func CheckFactory(factory string, dimension, n int) error {
	bad := func(format string, args ...any) error {
		return &FactoryError{factory, n, dimension, fmt.Sprintf(format, args...)}
	}
	if !factoryChars.MatchString(factory) {
		return bad("this is not a FAISS factory string")
	}
	if strings.Contains(factory, "IDMap") || strings.HasPrefix(factory, "L2norm") {
		return bad("ids are row numbers and vectors have unit length already: leave IDMap and L2norm out")
	}
	for _, s := range number.FindAllString(factory, -1) {
		if v, err := strconv.Atoi(s); err != nil || v < 1 || v > 1<<24 {
			return bad("the number %s is not within 1..%d", s, 1<<24)
		}
	}
	for _, part := range strings.FieldsFunc(factory, func(r rune) bool { return strings.ContainsRune(",()[]", r) }) {
		if m := ivfPart.FindStringSubmatch(part); m != nil {
			if nlist, _ := strconv.Atoi(m[1]); nlist > n {
				return bad("%d lists need at least as many vectors", nlist)
			}
		}
		if additive.MatchString(part) && strings.Contains(factory, "IVF") {
			return bad("inverted lists of additive codes (%s) are none that can be searched here", part)
		}
		if m := pqPart.FindStringSubmatch(part); m != nil {
			parts, _ := strconv.Atoi(m[1])
			bits := 8
			if m[2] != "" {
				bits, _ = strconv.Atoi(m[2])
			}
			if bits > 16 {
				return bad("a product quantizer of %d bits is beyond 16", bits)
			}
			if 1<<bits > n {
				return bad("a product quantizer of %d bits needs at least %d vectors", bits, 1<<bits)
			}
			if reduced := strings.Contains(factory, "PCA") || strings.Contains(factory, "OPQ"); !reduced && dimension%parts != 0 {
				return bad("%d parts do not divide the dimension", parts)
			}
		}
	}
	// FAISS alone knows whether it knows the rest.
	runtime.LockOSThread() // go-faiss keeps FAISS's error text in the thread that failed
	defer runtime.UnlockOSThread()
	x, err := gofaiss.IndexFactory(dimension, factory, gofaiss.MetricInnerProduct)
	if err != nil {
		return bad("%s", faissText(err))
	}
	x.Delete()
	return nil
}

// faissText is what an error of FAISS says, without the place in its source.
func faissText(err error) string {
	text := err.Error()
	if at := sourcePlace.FindStringIndex(text); at != nil {
		text = text[at[1]:]
	}
	return strings.TrimSpace(failed.ReplaceAllString(text, ""))
}

var (
	sourcePlace = regexp.MustCompile(`^Error in .* at \S+:[0-9]+: `)
	failed      = regexp.MustCompile(`^Error: '.*' failed: `) // what FAISS checked, in its own names
)
