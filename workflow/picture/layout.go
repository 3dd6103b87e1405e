package picture

import (
	"cmp"
	"slices"
)

// scale says how large things are, in the unit of a picture: a character cell, or a pixel.
type scale struct {
	size     func(*item) (w, h int) // of a node that has nothing in it
	title    func(*item) int        // how wide the title of a box around others is
	head     int                    // room for that title
	pad      int                    // between such a box and what is in it, left and right; below it foot
	foot     int
	beside   int  // between the nodes of a layer
	between  int  // between two layers, besides the tracks
	stub     int  // of that, before the first track
	track    int  // between two tracks
	sideways bool // layers stand side by side, not one below the other
}

// rect is where a node is, from the top left corner of the body that it stands in.
type rect struct{ x, y, w, h int }

type point struct{ x, y int }

// drawn is a body with a place for everything.
type drawn struct {
	*body
	w, h   int
	at     []rect
	inner  []*drawn // of the items that have one
	routes []route
}

// route is how an edge runs: along right angles.
type route struct {
	edge
	points []point
	nets   []int // of each stretch between two points: those of one net belong together
}

// cell is a node in its layer, or the rail on which an edge passes by: u runs along the layer, v
// from layer to layer.
type cell struct {
	item   int // -1 = a rail
	layer  int
	u, w   int // where it begins, and how wide it is
	h      int // in the direction of v
	up     []int
	down   []link
	weight float64
}

// link leads to a cell of the next layer.
type link struct {
	to     int
	dashed bool
}

func (c *cell) port() int { return c.u + c.w/2 }

// layout finds a place for everything: layers by the longest way, an order within them with few
// crossings, and then nodes above the middle of what they lead to.
func (b *body) layout(s scale) *drawn {
	d := &drawn{body: b, at: make([]rect, len(b.items)), inner: make([]*drawn, len(b.items))}
	l := &laying{drawn: d, scale: s, layers: make([][]int, b.depth)}
	for i, it := range b.items {
		w, h := s.size(it)
		if it.inner != nil {
			in := it.inner.layout(s)
			d.inner[i], w, h = in, max(in.w, s.title(it))+2*s.pad, in.h+s.head+s.foot
		}
		d.at[i].w, d.at[i].h = w, h
		if s.sideways {
			w, h = h, w
		}
		l.add(cell{item: i, layer: b.layer[i], w: w, h: h})
	}
	l.connect()
	l.untangle()
	l.spread()
	l.place()
	return d
}

// laying is a body while it is laid out.
type laying struct {
	*drawn
	scale
	cells  []cell
	layers [][]int       // cells of each layer, from left to right
	ways   map[int][]int // the cells that each edge leads over, by its index
}

func (l *laying) add(c cell) int {
	l.cells = append(l.cells, c)
	at := len(l.cells) - 1
	l.layers[c.layer] = append(l.layers[c.layer], at)
	return at
}

// connect links the cells of neighbouring layers. The edges of one node that pass by a layer share a
// rail.
func (l *laying) connect() {
	type key struct {
		from, layer int
		dashed      bool
	}
	rails := map[key]int{}
	linked := map[[2]int]bool{}
	l.ways = map[int][]int{}
	for k, e := range l.edges {
		at := e.from
		way := []int{at}
		for layer := l.layer[e.from] + 1; layer <= l.layer[e.to]; layer++ {
			next := e.to
			if layer < l.layer[e.to] {
				rail, ok := rails[key{e.from, layer, e.dashed}]
				if !ok {
					rail = l.add(cell{item: -1, layer: layer, w: 1, h: 1})
					rails[key{e.from, layer, e.dashed}] = rail
				}
				next = rail
			}
			if !linked[[2]int{at, next}] {
				linked[[2]int{at, next}] = true
				l.cells[at].down = append(l.cells[at].down, link{next, e.dashed})
				l.cells[next].up = append(l.cells[next].up, at)
			}
			at = next
			way = append(way, at)
		}
		l.ways[k] = way
	}
}

// neighbours are the cells that a cell leads to, or comes from.
func (c *cell) neighbours(down bool) []int {
	if !down {
		return c.up
	}
	list := make([]int, len(c.down))
	for i, d := range c.down {
		list[i] = d.to
	}
	return list
}

// sweeps is how often the layers are gone through, down and up.
const sweeps = 3

// untangle orders each layer by the median of the places of its neighbours, and keeps the order with
// the fewest crossings (Gansner and others, A Technique for Drawing Directed Graphs, 1993).
func (l *laying) untangle() {
	place := make([]int, len(l.cells))
	number := func() {
		for _, layer := range l.layers {
			for i, c := range layer {
				place[c] = i
			}
		}
	}
	number()
	best, fewest := cloneLayers(l.layers), l.crossings(place)
	for sweep := 0; sweep < 2*sweeps && fewest > 0; sweep++ {
		down := sweep%2 == 1
		for i := range l.layers {
			at := i
			if down {
				at = len(l.layers) - 1 - i
			}
			layer := l.layers[at]
			for _, c := range layer {
				l.cells[c].weight = median(l.cells[c].neighbours(down), place)
				if l.cells[c].weight < 0 {
					l.cells[c].weight = float64(place[c])
				}
			}
			slices.SortStableFunc(layer, func(a, b int) int { return cmp.Compare(l.cells[a].weight, l.cells[b].weight) })
			for i, c := range layer {
				place[c] = i
			}
		}
		if n := l.crossings(place); n < fewest {
			best, fewest = cloneLayers(l.layers), n
		}
	}
	l.layers = best
}

func cloneLayers(layers [][]int) [][]int {
	out := make([][]int, len(layers))
	for i, layer := range layers {
		out[i] = slices.Clone(layer)
	}
	return out
}

// median is the middle of the places of some cells; -1 where there are none.
func median(list, place []int) float64 {
	if len(list) == 0 {
		return -1
	}
	at := make([]int, len(list))
	for i, c := range list {
		at[i] = place[c]
	}
	slices.Sort(at)
	mid := len(at) / 2
	if len(at)%2 == 1 {
		return float64(at[mid])
	}
	return float64(at[mid-1]+at[mid]) / 2
}

// crossings counts the links that cross, by the inversions of where they end.
func (l *laying) crossings(place []int) int {
	total := 0
	for i, layer := range l.layers[:max(0, len(l.layers)-1)] {
		tree := make([]int, len(l.layers[i+1])+1) // sums of prefixes (Fenwick)
		seen := 0
		for _, c := range layer {
			ends := l.cells[c].neighbours(true)
			for _, to := range ends {
				below := 0
				for k := place[to] + 1; k > 0; k -= k & -k {
					below += tree[k]
				}
				total += seen - below
			}
			for _, to := range ends {
				seen++
				for k := place[to] + 1; k < len(tree); k += k & -k {
					tree[k]++
				}
			}
		}
	}
	return total
}

// spread gives each cell its place along the layer: as near to the middle of its neighbours as the
// others let it.
func (l *laying) spread() {
	for _, layer := range l.layers {
		u := 0
		for _, c := range layer {
			l.cells[c].u = u
			u += l.cells[c].w + l.beside
		}
	}
	port := make([]int, len(l.cells))
	for sweep := range 2*sweeps + 1 {
		down := sweep%2 == 1
		for i := range l.layers {
			at := i
			if down {
				at = len(l.layers) - 1 - i
			}
			for k := range l.cells {
				port[k] = l.cells[k].port()
			}
			l.settle(l.layers[at], down, port)
		}
	}
	first := 0
	for i := range l.cells {
		first = min(first, l.cells[i].u)
	}
	for i := range l.cells {
		l.cells[i].u -= first
	}
}

// settle moves the cells of a layer to where the sum of the squares of how far they are from where
// they want to be is the least; their order stays. That is a regression to a rising line: neighbours
// that would overlap are pooled (pool adjacent violators).
func (l *laying) settle(layer []int, down bool, port []int) {
	type pool struct {
		sum float64
		n   int
	}
	var pools []pool
	offset := 0
	offsets := make([]int, len(layer))
	for i, k := range layer {
		c := &l.cells[k]
		want := float64(c.u)
		if m := median(c.neighbours(down), port); len(c.neighbours(down)) > 0 {
			want = m - float64(c.w/2)
		}
		offsets[i] = offset
		pools = append(pools, pool{want - float64(offset), 1})
		offset += c.w + l.beside
		for len(pools) > 1 {
			a, b := pools[len(pools)-2], pools[len(pools)-1]
			if a.sum*float64(b.n) <= b.sum*float64(a.n) {
				break
			}
			pools = append(pools[:len(pools)-2], pool{a.sum + b.sum, a.n + b.n})
		}
	}
	i := 0
	for _, p := range pools {
		base := floor(p.sum/float64(p.n) + 0.5)
		for range p.n {
			l.cells[layer[i]].u = base + offsets[i]
			i++
		}
	}
}

func floor(f float64) int {
	n := int(f)
	if float64(n) > f {
		n--
	}
	return n
}
