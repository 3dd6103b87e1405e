package server

import (
	"encoding/json"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// docsPage shows what can be asked, from the OpenAPI document and the table of routes. It needs
// nothing from elsewhere: a server may be where there is no network.
const docsPage = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{{.Title}} {{.Version}}</title>
<style>
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}
h2{margin:2.5rem 0 .5rem;text-transform:capitalize}details{border-top:1px solid #ddd;padding:.4rem 0}summary{cursor:pointer}
code,pre{font:13px/1.4 ui-monospace,monospace}pre{background:#f5f5f5;padding:.7rem;overflow:auto}.m{display:inline-block;min-width:4rem;font-weight:600}.s{color:#666;float:right}
table{border-collapse:collapse}td{padding:.1rem .8rem .1rem 0;vertical-align:top}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#161616}pre{background:#222}details{border-color:#333}.s{color:#999}a{color:#8ab4f8}}
</style></head><body>
<h1>{{.Title}} {{.Version}}</h1><p>{{.About}} The whole of it as OpenAPI 3.1: <a href="/openapi.json">/openapi.json</a>.</p>
{{range .Groups}}<h2>{{.Name}}</h2>{{range .Items}}
<details id="{{.ID}}"><summary><span class="m">{{.Method}}</span><code>{{.Path}}</code> — {{.Summary}} <span class="s">{{.Scope}}</span></summary>
{{with .About}}<p>{{.}}</p>{{end}}{{with .Params}}<table>{{range .}}<tr><td><code>{{.Name}}</code></td><td>{{.In}}</td><td>{{.Description}}</td></tr>{{end}}</table>{{end}}
{{with .Body}}<pre>{{.}}</pre>{{end}}</details>{{end}}{{end}}
</body></html>
`

type docsGroup struct {
	Name  string
	Items []docsItem
}

type docsItem struct {
	Route
	About  string
	Params []*huma.Param
	Body   string // JSON Schema of the body
}

// docs registers the page.
func (s *Server) docs() {
	page := template.Must(template.New("docs").Parse(docsPage))
	r := Route{Method: http.MethodGet, Path: "/docs", ID: "docs", Scope: Public, Summary: "What can be asked, to read"}
	s.raw(r, huma.Operation{Responses: map[string]*huma.Response{"200": {Description: "The page"}}}, func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		o := s.api.OpenAPI()
		return page.Execute(w, map[string]any{"Title": o.Info.Title, "Version": o.Info.Version, "About": o.Info.Description, "Groups": s.docsGroups()})
	})
}

func (s *Server) docsGroups() []docsGroup {
	var groups []docsGroup
	for _, r := range s.routes {
		if r.ID == "" {
			continue // the document itself
		}
		i := slices.IndexFunc(groups, func(g docsGroup) bool { return g.Name == tagOf(r.Path) })
		if i < 0 {
			groups = append(groups, docsGroup{Name: tagOf(r.Path)})
			i = len(groups) - 1
		}
		groups[i].Items = append(groups[i].Items, s.docsItem(r))
	}
	return groups
}

func (s *Server) docsItem(r Route) docsItem {
	item := docsItem{Route: r}
	at := s.api.OpenAPI().Paths[r.Path]
	if at == nil {
		return item
	}
	op := map[string]*huma.Operation{"GET": at.Get, "POST": at.Post, "PUT": at.Put, "PATCH": at.Patch, "DELETE": at.Delete}[r.Method]
	if op == nil {
		return item
	}
	item.About, item.Params = op.Description, op.Parameters
	if op.RequestBody != nil {
		if content := op.RequestBody.Content["application/json"]; content != nil {
			if data, err := json.MarshalIndent(resolve(op, content.Schema), "", "  "); err == nil {
				item.Body = strings.TrimSpace(string(data))
			}
		}
	}
	return item
}
