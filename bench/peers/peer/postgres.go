package peer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/orpine-run/orpine/bench/peers/proc"
)

// postgres is a cluster of its own with the defaults of the distribution, over TCP.
type postgres struct {
	bin     string     // directory of initdb and postgres
	account *proc.User // who runs it; it refuses to run as root
}

// binaries is where Debian puts the programs of each version.
const binaries = "/usr/lib/postgresql/*/bin"

func (p *postgres) ready(ctx context.Context, h *Home) (string, int64, error) {
	bin, err := findPostgres()
	if err != nil && os.Geteuid() == 0 {
		h.say("installing the Debian package postgresql")
		if err = aptInstall(ctx, "postgresql"); err == nil {
			bin, err = findPostgres()
		}
	}
	if err != nil {
		return "", 0, err
	}
	p.bin = bin
	if p.account, err = account(); err != nil {
		return "", 0, err
	}
	out, err := exec.CommandContext(ctx, filepath.Join(bin, "postgres"), "--version").Output()
	if err != nil {
		return "", 0, err
	}
	size, err := proc.Disk(filepath.Dir(bin))
	_, version, _ := strings.Cut(strings.TrimSpace(string(out)), ") ")
	return "Postgres " + version, size, err
}

func findPostgres() (string, error) {
	found, err := filepath.Glob(filepath.Join(binaries, "postgres"))
	if err != nil {
		return "", err
	}
	if len(found) > 0 {
		return filepath.Dir(slices.Max(found)), nil
	}
	path, err := exec.LookPath("postgres")
	if err != nil {
		return "", fmt.Errorf("postgres is in neither %s nor PATH; install the package postgresql", binaries)
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", err
	}
	return filepath.Dir(path), nil
}

// aptInstall installs a package of Debian.
func aptInstall(ctx context.Context, name string) error {
	env := []string{"DEBIAN_FRONTEND=noninteractive"}
	for _, args := range [][]string{{"update"}, {"install", "-y", "--no-install-recommends", name}} {
		if err := proc.Run(ctx, proc.Spec{Path: "apt-get", Args: args, Env: env}); err != nil {
			return fmt.Errorf("install %s: %w", name, err)
		}
	}
	return nil
}

// account is the one that the package made; only root needs it, and can use it.
func account() (*proc.User, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // run it as we are
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("postgres does not run as root: %w", err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	return &proc.User{UID: uint32(uid), GID: uint32(gid)}, errors.Join(err1, err2)
}

func (p *postgres) open(ctx context.Context, dir string) (*Site, error) {
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	if p.account != nil {
		if err := os.Chown(dir, int(p.account.UID), int(p.account.GID)); err != nil {
			return nil, err
		}
	}
	data := filepath.Join(dir, "pg")
	env := []string{"LC_ALL=C"}
	// The files initdb makes are not what is measured, so it need not sync them.
	err = proc.Run(ctx, proc.Spec{
		Path: filepath.Join(p.bin, "initdb"), Args: []string{"-D", data, "-U", "bench", "-A", "trust", "-E", "UTF8", "--no-sync"},
		Dir: dir, Env: env, User: p.account,
	})
	if err != nil {
		return nil, err
	}
	spec := proc.Spec{
		Path: filepath.Join(p.bin, "postgres"),
		Args: []string{"-D", data, "-p", strconv.Itoa(port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="},
		Dir:  dir, Env: env, User: p.account,
	}
	dsn := fmt.Sprintf("postgres://bench@127.0.0.1:%d/postgres?sslmode=disable", port)
	return &Site{
		Store: dsn, Disk: dir,
		Start: func(ctx context.Context) (*proc.Process, error) {
			return up(ctx, spec, func(ctx context.Context) error {
				c, err := pgx.Connect(ctx, dsn)
				if err != nil {
					return err
				}
				return c.Close(ctx)
			})
		},
	}, nil
}
