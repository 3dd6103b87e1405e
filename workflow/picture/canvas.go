package picture

import (
	"strings"
)

// The directions in which a line leaves a cell.
const (
	up = 1 << iota
	down
	left
	right
)

// canvas is a picture made of character cells.
type canvas struct {
	w, h   int
	cells  []spot
	ascii  bool
	colors bool
}

// spot is one cell: a character, or the lines through it.
type spot struct {
	r     rune // 0 = lines, or nothing
	color string
	lines [2]stroke // of up to two nets; what comes later joins the second
	taken bool      // by the wide character to its left
	soft  bool      // a line of something that was not taken
}

// stroke is what one net has in a cell.
type stroke struct{ net, arms int }

func newCanvas(w, h int, o Options) *canvas {
	return &canvas{w: w, h: h, cells: make([]spot, w*h), ascii: o.ASCII, colors: o.Color}
}

func (c *canvas) at(x, y int) *spot {
	if x < 0 || y < 0 || x >= c.w || y >= c.h {
		return &spot{} // outside: drawn nowhere
	}
	return &c.cells[y*c.w+x]
}

func (c *canvas) put(x, y int, r rune, color string) { *c.at(x, y) = spot{r: r, color: color} }

// text writes one line.
func (c *canvas) text(x, y int, s, color string) {
	for _, r := range s {
		switch columns(r) {
		case 0:
			continue // it would have to stand upon another one
		case 1:
			c.put(x, y, r, color)
			x++
		default:
			c.put(x, y, r, color)
			c.at(x+1, y).taken = true
			x += 2
		}
	}
}

// stroke draws a stretch of a line of a net.
func (c *canvas) stroke(a, b point, net int, soft bool) {
	step, out, in := point{1, 0}, right, left
	switch {
	case a.x > b.x:
		step, out, in = point{-1, 0}, left, right
	case a.y > b.y:
		step, out, in = point{0, -1}, up, down
	case a.y < b.y:
		step, out, in = point{0, 1}, down, up
	}
	for p := a; p != b; p = (point{p.x + step.x, p.y + step.y}) {
		c.arm(p, net, out, soft)
		c.arm(point{p.x + step.x, p.y + step.y}, net, in, soft)
	}
}

func (c *canvas) arm(p point, net, arm int, soft bool) {
	s := c.at(p.x, p.y)
	if s.r != 0 {
		return // a box or an arrow
	}
	s.soft = soft && (s.soft || s.lines[0].arms == 0)
	i := 0
	if s.lines[0].arms != 0 && s.lines[0].net != net {
		i = 1
	}
	s.lines[i].net = net
	s.lines[i].arms |= arm
}

// line is the character of the lines through a cell. Where one only crosses another one it passes
// over it, so that nobody takes them for joined.
func (s *spot) line(ascii bool) rune {
	a, b := s.lines[0].arms, s.lines[1].arms
	if a == up|down && b == left|right || a == left|right && b == up|down {
		a, b = up|down, 0
	}
	arms := a | b
	if ascii {
		switch arms {
		case 0:
			return ' '
		case up, down, up | down:
			if s.soft {
				return ':'
			}
			return '|'
		case left, right, left | right:
			if s.soft {
				return '.'
			}
			return '-'
		}
		return '+'
	}
	if s.soft {
		switch arms {
		case up, down, up | down:
			return '┊'
		case left, right, left | right:
			return '┄'
		}
	}
	return []rune(" │││─┘┐┤─└┌├─┴┬┼")[arms]
}

// box draws a frame.
func (c *canvas) box(x, y, w, h int, color string, round bool) {
	corners := []rune("┌┐└┘─│")
	switch {
	case c.ascii:
		corners = []rune("++++-|")
	case round:
		corners = []rune("╭╮╰╯─│")
	}
	for i := 1; i < w-1; i++ {
		c.put(x+i, y, corners[4], color)
		c.put(x+i, y+h-1, corners[4], color)
	}
	for j := 1; j < h-1; j++ {
		c.put(x, y+j, corners[5], color)
		c.put(x+w-1, y+j, corners[5], color)
	}
	c.put(x, y, corners[0], color)
	c.put(x+w-1, y, corners[1], color)
	c.put(x, y+h-1, corners[2], color)
	c.put(x+w-1, y+h-1, corners[3], color)
}

// String is the picture, without spaces at the ends of its lines.
func (c *canvas) String() string {
	var b strings.Builder
	for y := range c.h {
		color, spaces := "", 0
		for _, s := range c.cells[y*c.w : (y+1)*c.w] {
			r := s.r
			switch {
			case s.taken:
				continue
			case r == 0:
				r = s.line(c.ascii)
			}
			if r == ' ' {
				spaces++
				continue
			}
			b.WriteString(strings.Repeat(" ", spaces))
			spaces = 0
			if c.colors && s.color != color {
				b.WriteString(turn(color, s.color))
				color = s.color
			}
			b.WriteRune(r)
		}
		b.WriteString(turn(color, "") + "\n")
	}
	return b.String()
}

// turn goes from one colour to another.
func turn(from, to string) string {
	switch {
	case from == to:
		return ""
	case to == "":
		return "\x1b[0m"
	case from == "":
		return "\x1b[" + to + "m"
	}
	return "\x1b[0;" + to + "m"
}
