package access

import (
	"slices"
	"strconv"
	"strings"

	"github.com/orpine-run/orpine/durable"
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
	known := []string{everything}
	for _, s := range scopes {
		noun, _, _ := strings.Cut(s, ":")
		known = append(known, s, noun+":*")
	}
	best, nearest := "", 4 // so many letters may be wrong, less one
	for _, k := range known {
		if d := distance(scope, k); d < nearest && d < len(k) {
			best, nearest = k, d
		}
	}
	if best == "" {
		return "there are " + strings.Join(scopes[:], ", ") + ", and * for all of them"
	}
	return "did you mean " + strconv.Quote(best) + "?"
}

// distance counts the letters to insert, delete or replace between a and b.
func distance(a, b string) int {
	const longest = 64 // no scope is longer; bounds the work on hostile input
	if len(a) > longest {
		return len(a) + len(b)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := corner
			if a[i] != b[j] {
				replace++
			}
			corner = row[j+1]
			row[j+1] = min(row[j]+1, row[j+1]+1, replace)
		}
	}
	return row[len(b)]
}
