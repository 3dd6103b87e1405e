package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestValueDiff(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 200)
	text := func(s string) json.RawMessage {
		data, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for _, x := range []struct {
		name string
		a, b json.RawMessage
		want string
	}{
		{
			"in the middle of a long line", text(long + "X" + long), text(long + "Y" + long),
			"- …" + strings.Repeat("a", 40) + "X" + strings.Repeat("a", 119) + "…\n+ …" + strings.Repeat("a", 40) + "Y" + strings.Repeat("a", 119) + "…",
		},
		{
			"at the end of a long line", text(long), text(long + "Y"),
			"- …" + strings.Repeat("a", 160) + "\n+ …" + strings.Repeat("a", 159) + "Y",
		},
		{
			"a long line more", text("one"), text("one\n" + long),
			"  one\n+ " + strings.Repeat("a", 160) + "…",
		},
		{
			"beside a long line that is the same", text(long + "\none"), text(long + "\ntwo"),
			"  " + strings.Repeat("a", 160) + "…\n- one\n+ two",
		},
		{"far from it", text("1\n2\n3\n4\n5"), text("1\n2\n3\n4\nfive"), "@@\n  3\n  4\n- 5\n+ five"},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff("--- A\n+++ B\n"+x.want, valueDiff("A", x.a, "B", x.b)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}
