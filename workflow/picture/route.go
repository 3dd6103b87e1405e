package picture

import (
	"cmp"
	"fmt"
	"slices"
)

// net is what runs together between two layers: every one of its sources leads to every one of its
// ends. Its track is the line that they share.
type net struct {
	from, to []int // cells
	dashed   bool
	track    int // -1 = it runs straight
	number   int // of the body
}

// span is what a net takes of its track.
func (n *net) span(cells []cell) (lo, hi int) {
	lo, hi = cells[n.from[0]].port(), cells[n.from[0]].port()
	for _, list := range [][]int{n.from, n.to} {
		for _, c := range list {
			lo, hi = min(lo, cells[c].port()), max(hi, cells[c].port())
		}
	}
	return lo, hi
}

// nets finds those behind a layer: cells that lead to the same ones share one.
func (l *laying) nets(layer []int, first int) []*net {
	var list []*net
	by := map[string]*net{}
	for _, c := range layer {
		for _, dashed := range []bool{false, true} {
			var to []int
			for _, d := range l.cells[c].down {
				if d.dashed == dashed {
					to = append(to, d.to)
				}
			}
			if len(to) == 0 {
				continue
			}
			slices.Sort(to)
			key := fmt.Sprint(dashed, to)
			n := by[key]
			if n == nil {
				n = &net{to: to, dashed: dashed, number: first + len(list)}
				by[key], list = n, append(list, n)
			}
			n.from = append(n.from, c)
		}
	}
	return list
}

// assign gives every net that does not run straight a track, and returns how many there are. A net
// that begins where another one ends comes before it, where that can be had: else the two would touch.
func (l *laying) assign(nets []*net) int {
	begins := map[int][]*net{}
	var bent []*net
	for _, n := range nets {
		if lo, hi := n.span(l.cells); lo == hi {
			n.track = -1
			continue
		}
		bent = append(bent, n)
		for _, c := range n.from {
			begins[l.cells[c].port()] = append(begins[l.cells[c].port()], n)
		}
	}
	slices.SortStableFunc(bent, func(a, b *net) int {
		lowA, _ := a.span(l.cells)
		lowB, _ := b.span(l.cells)
		return cmp.Compare(lowA, lowB)
	})
	before := map[*net]map[*net]bool{} // those that must come before a net
	for _, n := range bent {
		before[n] = map[*net]bool{}
		for _, c := range n.to {
			for _, o := range begins[l.cells[c].port()] {
				if o != n {
					before[n][o] = true
				}
			}
		}
	}
	tracks := 0
	for ; len(bent) > 0; tracks++ {
		taken, rest := l.fill(bent, before)
		for _, n := range taken {
			n.track = tracks
			for _, o := range rest {
				delete(before[o], n)
			}
		}
		bent = rest
	}
	return tracks
}

// fill chooses the nets of one track: those that lie beside each other, and wait for no other one.
func (l *laying) fill(nets []*net, before map[*net]map[*net]bool) (taken, rest []*net) {
	end := 0 // where the track is free again
	for _, n := range nets {
		lo, hi := n.span(l.cells)
		if (len(taken) == 0 || lo > end+1) && len(before[n]) == 0 {
			taken, end = append(taken, n), hi
		} else {
			rest = append(rest, n)
		}
	}
	if len(taken) == 0 { // they wait for each other
		return rest[:1], rest[1:]
	}
	return taken, rest
}

// place computes where everything is.
func (l *laying) place() {
	v := 0
	tops := make([]int, len(l.layers))   // where a layer begins
	depths := make([]int, len(l.layers)) // and how far it reaches
	behind := make([]map[[2]int]*net, len(l.layers))
	count := 0
	for i, layer := range l.layers {
		tops[i] = v
		for _, c := range layer {
			depths[i] = max(depths[i], l.cells[c].h)
		}
		v += depths[i]
		if i == len(l.layers)-1 {
			break
		}
		nets := l.nets(layer, count)
		count += len(nets)
		v += l.between + l.assign(nets)*l.track
		behind[i] = map[[2]int]*net{}
		for _, n := range nets {
			for _, from := range n.from {
				for _, to := range n.to {
					behind[i][[2]int{from, to}] = n
				}
			}
		}
	}
	across := 0
	for i := range l.cells {
		c := &l.cells[i]
		across = max(across, c.u+c.w)
		if c.item < 0 {
			continue
		}
		at := &l.at[c.item]
		at.x, at.y = c.u, tops[c.layer]
		if l.sideways {
			at.x, at.y = at.y, at.x
		}
	}
	l.w, l.h = across, v
	if l.sideways {
		l.w, l.h = v, across
	}
	for k, e := range l.edges {
		l.routes = append(l.routes, l.route(e, l.ways[k], tops, depths, behind))
	}
}

// route runs an edge over its cells.
func (l *laying) route(e edge, way, tops, depths []int, behind []map[[2]int]*net) route {
	r := route{edge: e}
	add := func(u, v, number int) {
		p := point{u, v}
		if l.sideways {
			p = point{v, u}
		}
		if len(r.points) > 0 {
			if p == r.points[len(r.points)-1] {
				return
			}
			r.nets = append(r.nets, number)
		}
		r.points = append(r.points, p)
	}
	for i, c := range way[:len(way)-1] {
		from, to := &l.cells[c], &l.cells[way[i+1]]
		n := behind[from.layer][[2]int{c, way[i+1]}]
		start := tops[from.layer]
		if from.item >= 0 {
			start += from.h
		}
		add(from.port(), start, n.number)
		if n.track >= 0 {
			v := tops[from.layer] + depths[from.layer] + l.stub + n.track*l.track
			add(from.port(), v, n.number)
			add(to.port(), v, n.number)
		}
		end := tops[to.layer] - 1 // beside the node
		if to.item < 0 {
			end++
		}
		add(to.port(), end, n.number)
	}
	return r
}

// each calls fn for every body with all within it, and where its corner is.
func (d *drawn) each(s scale, x, y int, fn func(d *drawn, x, y int)) {
	fn(d, x, y)
	for i, in := range d.inner {
		if in != nil {
			left := (d.at[i].w - in.w) / 2
			in.each(s, x+d.at[i].x+left, y+d.at[i].y+s.head, fn)
		}
	}
}
