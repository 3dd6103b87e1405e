package http

import (
	"net/url"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"github.com/orpine-run/orpine/tool"
)

// maxDepth is how deep in a page text is looked for.
const maxDepth = 500

// readable reduces a page to what a person would read of it: its title, and its text with
// headings, lists, tables and links in the manner of Markdown. What is hidden stays hidden,
// for it is not meant for who reads.
func readable(page string, base *url.URL) string {
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		return page // a reader of strings does not fail; nesting may be refused
	}
	w := &pageWriter{base: base}
	w.node(root, 0)
	text := strings.TrimSpace(w.out.String())
	if w.title != "" {
		text = "# " + w.title + "\n\n" + text
	}
	return strings.TrimSpace(text)
}

// pageWriter writes text with one space between words and one empty line between blocks.
type pageWriter struct {
	out   strings.Builder
	base  *url.URL
	title string
	pre   int  // inside so many pre
	lines int  // line breaks that are due
	space bool // a space is due
}

func (w *pageWriter) node(n *html.Node, depth int) {
	if depth > maxDepth {
		return
	}
	switch n.Type {
	case html.TextNode:
		w.text(n.Data)
		return
	case html.ElementNode:
		if skipped(n) {
			if n.DataAtom == atom.Title && w.title == "" && n.FirstChild != nil {
				w.title = strings.Join(strings.Fields(n.FirstChild.Data), " ")
			}
			return
		}
		w.element(n, depth)
		return
	case html.ErrorNode, html.CommentNode, html.DoctypeNode, html.RawNode:
		return
	case html.DocumentNode:
	}
	w.children(n, depth)
}

func (w *pageWriter) children(n *html.Node, depth int) {
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		w.node(c, depth+1)
	}
}

func (w *pageWriter) element(n *html.Node, depth int) {
	switch n.DataAtom {
	case atom.Br:
		w.breakLine(1)
		return
	case atom.Hr:
		w.block("---\n")
		return
	case atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6:
		w.breakLine(2)
		w.put(strings.Repeat("#", int(n.Data[1]-'0')) + " ")
		w.children(n, depth)
		w.breakLine(2)
		return
	case atom.Li:
		w.breakLine(1)
		w.put("- ")
		w.children(n, depth)
		w.breakLine(1)
		return
	case atom.Td, atom.Th:
		w.children(n, depth)
		if n.NextSibling != nil {
			w.put(" | ")
		}
		return
	case atom.Pre:
		w.breakLine(2)
		w.put("```\n")
		w.pre++
		w.children(n, depth)
		w.pre--
		w.breakLine(1)
		w.put("```")
		w.breakLine(2)
		return
	case atom.Img:
		if alt := strings.TrimSpace(attr(n, "alt")); alt != "" {
			w.text("[image: " + alt + "]")
		}
		return
	case atom.A:
		w.link(n, depth)
		return
	default:
	}
	gap := gapOf(n.DataAtom)
	w.breakLine(gap)
	w.children(n, depth)
	w.breakLine(gap)
}

// gapOf is how many line breaks set an element off.
func gapOf(a atom.Atom) int {
	switch a {
	case atom.P, atom.Ul, atom.Ol, atom.Dl, atom.Table, atom.Blockquote, atom.Article, atom.Section, atom.Main, atom.Figure, atom.Header, atom.Footer, atom.Nav, atom.Aside:
		return 2
	case atom.Div, atom.Tr, atom.Dt, atom.Dd, atom.Figcaption, atom.Address, atom.Details, atom.Summary, atom.Fieldset, atom.Form, atom.Caption, atom.Body:
		return 1
	default:
		return 0
	}
}

func (w *pageWriter) link(n *html.Node, depth int) {
	before := w.out.Len()
	w.children(n, depth)
	u, err := url.Parse(strings.TrimSpace(attr(n, "href")))
	if err != nil || w.out.Len() == before || u.String() == "" {
		return
	}
	if u = w.base.ResolveReference(u); u.Scheme != "http" && u.Scheme != "https" || u.Fragment != "" && sameBut(u, w.base) {
		return
	}
	w.put(" (" + tool.Clip(u.String(), 500) + ")")
}

// sameBut reports whether two URLs differ in their fragment only.
func sameBut(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && a.Host == b.Host && a.Path == b.Path && a.RawQuery == b.RawQuery
}

func (w *pageWriter) text(s string) {
	if w.pre > 0 {
		w.put(s)
		return
	}
	words := strings.Fields(s)
	if len(words) == 0 {
		w.space = w.space || s != ""
		return
	}
	w.space = w.space || strings.ContainsAny(s[:1], " \t\n\r\f")
	w.put(strings.Join(words, " "))
	w.space = strings.ContainsAny(s[len(s)-1:], " \t\n\r\f")
}

func (w *pageWriter) put(s string) {
	switch {
	case w.out.Len() == 0:
	case w.lines > 0:
		w.out.WriteString(strings.Repeat("\n", w.lines))
	case w.space && w.pre == 0:
		w.out.WriteByte(' ')
	}
	w.lines, w.space = 0, false
	w.out.WriteString(s)
}

func (w *pageWriter) block(s string) {
	w.breakLine(2)
	w.put(s)
}

func (w *pageWriter) breakLine(n int) { w.lines = max(w.lines, n) }

// skipped reports whether nobody reads an element: it is no text, or it is hidden.
func skipped(n *html.Node) bool {
	switch n.DataAtom {
	case atom.Script, atom.Style, atom.Noscript, atom.Template, atom.Svg, atom.Math, atom.Iframe, atom.Object, atom.Embed, atom.Canvas,
		atom.Audio, atom.Video, atom.Title, atom.Meta, atom.Link, atom.Base, atom.Select, atom.Button, atom.Textarea, atom.Input, atom.Dialog:
		return true
	default:
	}
	for _, a := range n.Attr {
		style := strings.ToLower(strings.ReplaceAll(a.Val, " ", ""))
		switch {
		case a.Key == "hidden", a.Key == "aria-hidden" && a.Val == "true":
			return true
		case a.Key == "style" && (strings.Contains(style, "display:none") || strings.Contains(style, "visibility:hidden") || strings.Contains(style, "font-size:0")):
			return true
		}
	}
	return false
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
