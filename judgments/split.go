package judgments

import (
	"crypto/sha256"
	"fmt"
	"strconv"
	"strings"
)

// Splits parts queries by the hash of their text, so that one is in the same split
// whatever else there is, in whatever case it is written.
type Splits struct {
	names []string
	upTo  []float64 // the sum of the shares so far, from 0 to 1
}

// restSplit has the queries that no share names.
const restSplit = "train"

// ParseSplits reads shares of the queries such as "test=30%" or "test=0.2,dev=0.1"; the
// rest is called train.
func ParseSplits(text string) (*Splits, error) {
	bad := func(why string) (*Splits, error) {
		return nil, fmt.Errorf("%.60q %s (write shares as test=30%% or test=20%%,dev=10%%; the rest is called %s)", text, why, restSplit)
	}
	s := &Splits{}
	sum := 0.
	for part := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		digits, percent := strings.CutSuffix(value, "%")
		share, err := strconv.ParseFloat(digits, 64)
		if percent {
			share /= 100
		}
		if !ok || err != nil || name == "" || name == restSplit || strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' }) {
			return bad("has a part that is no NAME=SHARE")
		}
		for _, other := range s.names {
			if other == name {
				return bad("names " + name + " twice")
			}
		}
		if sum += share; !(share > 0 && sum < 1) {
			return bad("has shares that are not above 0 and together below all")
		}
		s.names, s.upTo = append(s.names, name), append(s.upTo, sum)
	}
	return s, nil
}

// Of returns the split of a query.
func (s *Splits) Of(query string) string {
	sum := sha256.Sum256([]byte("split\n" + Fold(query)))
	at := float64(uint32(sum[0])<<24|uint32(sum[1])<<16|uint32(sum[2])<<8|uint32(sum[3])) / (1 << 32)
	for i, name := range s.names {
		if at < s.upTo[i] {
			return name
		}
	}
	return restSplit
}
