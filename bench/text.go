package bench

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// alphabet is what ASCII has that JSON does not escape. A text of it holds 6.5 bits in
// each byte, so that little is gained by packing it: natural text packs much better, and
// a figure is not to be made of compression.
const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 !#$%'()*+,-./:;=?@[]^_`{|}~"

// sourceBytes is how much text a source makes when it is first used: a process that is
// measured from its start on gets that far without.
const sourceBytes = 2 * maxPayload

// text gives out texts of which no two are the same. It is safe for concurrent use.
type text struct {
	source func() string
	count  atomic.Int64
	unique atomic.Int64 // bytes given out
}

// newText makes a source of texts; two with different seeds share nothing.
func newText(seed uint64) *text {
	return &text{source: sync.OnceValue(func() string {
		r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // any letters will do
		var b strings.Builder
		b.Grow(sourceBytes)
		for range sourceBytes {
			b.WriteByte(alphabet[r.IntN(len(alphabet))])
		}
		return b.String()
	})}
}

// next returns the next text of so many bytes.
func (t *text) next(size int) string {
	const stride = 7919 // a prime: pieces begin everywhere
	n := t.count.Add(1)
	t.unique.Add(int64(size))
	head := strconv.FormatInt(n, 36) + "-"
	if len(head) >= size {
		return head[:size]
	}
	source := t.source()
	from := int(n * stride % int64(len(source)-size))
	return head + source[from:from+size-len(head)]
}
