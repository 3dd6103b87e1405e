package outfit

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/orpine-run/orpine/config"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/sandbox"
	"github.com/orpine-run/orpine/tool/mcp"
)

// spawn starts an MCP server that speaks over standard input and output, in a sandbox.
func (o *Outfit) spawn(ctx context.Context, s mcp.Stdio) (mcp.Process, error) {
	var how config.Sandbox
	if len(s.Sandbox) > 0 {
		if err := json.Unmarshal(s.Sandbox, &how); err != nil {
			return nil, durable.Errorf(durable.CodeInvalid, "the sandbox of server %s: %w", s.Server, err)
		}
	}
	tier := sandbox.Tier(how.Tier)
	if tier == "" {
		tier = sandbox.TierJail
	}
	box, err := o.sandbox(tier)
	if err != nil {
		return nil, err
	}
	spec := specOf(how, s.Dir)
	if how.Dir == "" && s.Dir != "" {
		spec.Dir = s.Dir
	}
	spec.Command = append([]string{s.Command}, s.Args...)
	for name, value := range s.Env {
		spec.Env = append(spec.Env, name+"="+value)
	}
	slices.Sort(spec.Env)
	p, err := box.Start(context.WithoutCancel(ctx), spec) // ctx bounds the start; the server lives on
	if err != nil {
		return nil, err
	}
	return process{Process: p, jailed: tier == sandbox.TierJail}, nil
}

const mega = 1 << 20

// specOf is what a process may touch; its workspace is dir unless something else is said, and it
// works there.
func specOf(how config.Sandbox, dir string) sandbox.Spec {
	spec := sandbox.Spec{
		Workspace: how.Workspace, Dir: how.Dir, ReadOnly: how.ReadOnly,
		Network: sandbox.Network{Host: how.HostNetwork, Allow: ports(how.Net)},
		Limits:  sandbox.Limits{Memory: int64(how.MemoryMB) * mega, Disk: int64(how.DiskMB) * mega, Processes: how.Processes},
	}
	if spec.Workspace == "" {
		spec.Workspace = dir
	}
	if spec.Dir == "" {
		spec.Dir = spec.Workspace
	}
	if how.FS == "read" && spec.Workspace != "" {
		spec.ReadOnly, spec.Workspace = append(slices.Clone(spec.ReadOnly), spec.Workspace), ""
	}
	return spec
}

// ports are hosts, each with a port: any one where none is said.
func ports(hosts []string) []string {
	var list []string
	for _, h := range hosts {
		if i := strings.LastIndexByte(h, ':'); i < 0 || strings.HasSuffix(h, "]") {
			h += ":*"
		}
		list = append(list, h)
	}
	return list
}

// process is one of a sandbox, as the client of MCP servers wants it.
type process struct {
	*sandbox.Process
	jailed bool
}

func (p process) Stdin() io.WriteCloser { return p.Process.Stdin }
func (p process) Stdout() io.Reader     { return p.Process.Stdout }
func (p process) Stderr() io.Reader     { return p.Process.Stderr }

// Wait implements mcp.Process.
func (p process) Wait() error {
	exit := p.Process.Wait()
	switch {
	case exit.Limit != "" && exit.Limit != sandbox.LimitCanceled:
		return fmt.Errorf("it was killed: it ran into the limit of %s", exit.Limit)
	case exit.Signal != 0:
		return fmt.Errorf("it ended: signal: %s", exit.Signal)
	case exit.Code != 0 && p.jailed:
		return fmt.Errorf("it ended with code %d; it runs in a jail, which shows it its working directory and no network: say under sandbox what else it needs", exit.Code)
	case exit.Code != 0:
		return fmt.Errorf("it ended with code %d", exit.Code)
	}
	return nil
}
