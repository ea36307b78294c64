package judgments

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
)

func TestWriteQrels(t *testing.T) {
	for _, table := range []string{
		"query,product_id,label\nred dress,b,E\nred dress,a,S\nblue jeans,c,C\nblue jeans,d,I\n",
		"query_id,query,product_id,label\n1,red\tdress,b,2\n1,red\tdress,a,0\n2,jeans,c,1\n",
	} {
		read := func(path string, o ReadOptions) *Set {
			s, err := Read([]string{path}, o)
			if err != nil {
				t.Fatal(err)
			}
			q, _, err := NewSet(s, Options{})
			if err != nil {
				t.Fatal(err)
			}
			return q
		}
		want := read(file(t, "a.csv", table), ReadOptions{})
		var qrels, queries bytes.Buffer
		if err := errors.Join(WriteQrels(&qrels, want), WriteQueries(&queries, want)); err != nil {
			t.Fatal(err)
		}
		got := read(file(t, "q", qrels.String()), ReadOptions{Queries: file(t, "t", queries.String())})
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s\n%+v\nwant\n%+v", qrels.String(), got, want)
		}
	}
	q := &Set{Scale: ESCI(), Queries: []Query{{ID: "q", Products: []string{"a", "b"}, Levels: []int32{3, 0}}}}
	var b bytes.Buffer
	if err := WriteQrels(&b, q); err != nil || b.String() != "q 0 a 100\nq 0 b 0\n" {
		t.Errorf("%q, error %v", b.String(), err)
	}
	if WriteQrels(broken{}, q) == nil || WriteQueries(broken{}, q) == nil {
		t.Error("no error of a broken writer")
	}
	q.Queries[0].Products[0] = "a b"
	if WriteQrels(&b, q) == nil {
		t.Error("a product id with a space in it was written")
	}
	q.Queries[0].ID = "a b"
	if WriteQrels(&b, q) == nil || WriteQueries(&b, q) == nil {
		t.Error("a query id with a space in it was written")
	}
}

// broken is a writer that fails.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("broken") }
