// Package server is the HTTP door of a runtime: REST for what can be asked and done, and
// server-sent events for what happens. The wire types are those of package client; the
// OpenAPI document at /openapi.json is made from the same Go types as the handlers.
//
// It translates and guards, and decides nothing about runs: every handler ends in one call of
// the façade. A route is registered with the scope that it takes, or not at all. On the line
// request -> run -> step -> journal -> event -> client it stands between client and façade.
package server
