package server

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// watch sends the events of a run as long as the one who asks may see it: a token may expire, or
// be revoked, meanwhile.
func (s *Server) watch(w http.ResponseWriter, r *http.Request) error {
	run, err := s.mine(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	return s.streams.Serve(w, r, run, func() bool {
		_, err := s.identify(r.Context(), r.Header.Get("Authorization"))
		return err == nil
	})
}

// watchOperation describes the stream, which the framework does not write.
func watchOperation() huma.Operation {
	text := func(name, in, doc string) *huma.Param {
		return &huma.Param{Name: name, In: in, Description: doc, Schema: &huma.Schema{Type: huma.TypeString}}
	}
	id := text("id", "path", "ID of the run; without a tenant also a unique prefix, a name, or @last")
	id.Required = true
	return huma.Operation{
		Description: "Server-sent events: `event` with an entry of a journal, `delta` with a streamed piece, which a delta of the kind `reset` makes void for its step. " +
			"The `id` of each is where to go on behind it. The stream ends with the run; asked again then, it answers 204.",
		Parameters: []*huma.Param{
			id, text("after", "query", "The id of the last event that arrived"), text("Last-Event-ID", "header", "The same, as browsers send it"),
			text("mode", "query", "events (default), updates, messages or values"), text("children", "query", "false leaves out the children of the run"),
		},
		Responses: map[string]*huma.Response{"200": {Description: "The stream", Content: map[string]*huma.MediaType{"text/event-stream": {}}}, "204": {Description: "All of it was sent"}},
	}
}
