package access

import (
	"slices"
	"strings"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/suggest"
)

// The scopes: what a token may be used for. A token may also have all of a noun, such as
// runs:*, or all there are: *.
const (
	RunsRead       = "runs:read"
	RunsWrite      = "runs:write"
	ThreadsRead    = "threads:read"
	ThreadsWrite   = "threads:write"
	ApprovalsRead  = "approvals:read"
	ApprovalsWrite = "approvals:write"
	AgentsRead     = "agents:read"
	AgentsWrite    = "agents:write"
	WebhooksRead   = "webhooks:read"
	WebhooksWrite  = "webhooks:write"
	BlobsRead      = "blobs:read"
	ToolsRead      = "tools:read"
	TokensWrite    = "tokens:write"
	AuditRead      = "audit:read"
)

// everything is the scope of a token that may do all there is.
const everything = "*"

// scopes are all of them.
var scopes = [...]string{
	RunsRead, RunsWrite, ThreadsRead, ThreadsWrite, ApprovalsRead, ApprovalsWrite, AgentsRead, AgentsWrite,
	WebhooksRead, WebhooksWrite, BlobsRead, ToolsRead, TokensWrite, AuditRead,
}

// Scopes lists every scope, without those that stand for several.
func Scopes() []string { return slices.Clone(scopes[:]) }

// beyond reports whether a scope reaches more than what is one tenant's: who has the tokens
// or the audit log has everybody's, and an agent has one definition for all tenants.
func beyond(scope string) bool {
	return scope == TokensWrite || scope == AuditRead || scope == AgentsWrite
}

// covers reports whether a scope of a token includes another, which is one of Scopes.
func covers(has, scope string) bool {
	noun, all := strings.CutSuffix(has, "*")
	return has == scope || has == everything || all && strings.HasSuffix(noun, ":") && strings.HasPrefix(scope, noun)
}

// checkScopes refuses what no token may have.
func checkScopes(list []string, tenant string) error {
	if len(list) == 0 {
		return durable.Errorf(durable.CodeInvalid, "a token needs a scope; there are %s, and * for all of them", strings.Join(scopes[:], ", "))
	}
	for _, has := range list {
		if !slices.ContainsFunc(scopes[:], func(s string) bool { return covers(has, s) }) {
			return durable.Errorf(durable.CodeInvalid, "unknown scope %.80q; %s", has, didYouMean(has))
		}
		if tenant == "" || has == everything {
			continue
		}
		for _, s := range scopes {
			if beyond(s) && covers(has, s) {
				return durable.Errorf(durable.CodeInvalid,
					"a token of tenant %q cannot have %s: %s reaches more than one tenant; leave it out, or make a token without a tenant", tenant, has, s)
			}
		}
	}
	return nil
}

// didYouMean is the hint for an unknown scope: the nearest known one, else all of them.
func didYouMean(scope string) string {
	var known []string
	for _, s := range scopes {
		noun, _, _ := strings.Cut(s, ":")
		known = append(known, s, noun+":*")
	}
	if slices.Contains(known, scope+":*") {
		return `did you mean "` + scope + `:*"?`
	}
	if hint := suggest.Name(scope, known, ""); hint != "" {
		return hint
	}
	return "there are " + strings.Join(scopes[:], ", ") + ", and * for all of them"
}
