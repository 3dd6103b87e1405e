// Package http makes tools of HTTP APIs. A declaration of the kind "http" is one of two
// things: an OpenAPI document, of whose operations [Tools.Find] makes a tool each, or the
// template of a single request. [Tools.Fetch] is a tool that reads pages of the web.
//
// Every connection goes through a guard, every secret is put in right before the request and
// taken out of whatever comes back, and a request whose effect is not read carries the
// idempotency key of its step in the header Idempotency-Key. It may not retry: it says which
// failures may pass (429 is exhausted, 502, 503, 504 and a broken connection are
// unavailable, with what Retry-After asks for), and the engine tries again where the effect
// allows. Every other status that is not 2xx is told to the model. On the line request -> run
// -> step -> journal -> event -> client it stands inside a step, beneath the dispatch of
// tools.
//
// # An OpenAPI document
//
//	{"openapi": "https://api.example.org/openapi.json",
//	 "include": ["listPets", "GET /pets/*"],
//	 "base_url": "https://api.example.org/v1",
//	 "auth": {"bearer": "${secret:PETS_TOKEN}"},
//	 "effects": {"createPet": "idempotent"}}
//
// openapi is the text of a document of version 3.0 or 3.1, as JSON or YAML, or the URL of
// one. include names operations by operationId or by "METHOD /path", with * for any part of
// a segment; without it there are all. base_url stands in for the servers of the document.
// References must be local. YAML aliases are refused.
//
// A tool is called NAME/operationId, or NAME/method_path where there is none. Its arguments
// are one flat object: parameters by their names, and the fields of a body that is an object
// with known fields; any other body is the argument body. Where a name is taken, the later
// place of path, query, header, cookie, body is put before it: query_id, body_name. GET, HEAD
// and OPTIONS are read, PUT and DELETE idempotent, all others irreversible, unless effects or
// x-orpine-effect at the operation say otherwise.
//
// # A template
//
//	{"method": "POST", "url": "https://api.example.org/notes/{folder}",
//	 "query": {"tag": "{tag}"},
//	 "headers": {"Accept": "application/json"},
//	 "body": {"title": "{title}", "stars": "{stars}"},
//	 "args": {"type": "object", "properties": {"folder": {"type": "string"}, ...}},
//	 "description": "Writes a note.",
//	 "auth": {"header": {"X-Api-Key": "${secret:NOTES_KEY}"}}}
//
// A {name} is the argument of that name, encoded for the place it stands in. In a JSON body
// a string that is nothing but {name} becomes the value itself, with its type. A string as
// body is sent as it is; form is an object that is sent as a form. What an optional argument
// alone fills is left out when it is not given. Without args all names are required strings.
// The host of a URL is fixed.
//
// # Both
//
// auth is one of {"bearer": TOKEN}, {"basic": {"user": U, "password": P}}, {"header": {NAME:
// VALUE}} and {"query": {NAME: VALUE}}, with references to secrets, and the only place for
// them. headers are sent with every request. options are the durable.StepOptions of the
// tools; flow is the tool.Flow, by default untrusted and egress. max_bytes bounds what is
// read of an answer.
package http
