package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// Program is a server that Start can start.
type Program struct {
	Name string // as tables show it

	path    string               // where it is; or a name, to be looked for
	config  string               // its configuration's file, below its directory
	args    func(Place) []string // of the server, which has to stay in the foreground
	prepare func(Place) []string // of a run before it, which ends by itself; nil for none
}

// Imserve is the imserve at path, as Build returns it. Its configuration names
// Place.Addr as the address to listen on.
func Imserve(path string) Program {
	return Program{Name: "imserve", path: path, config: "config.toml", args: func(p Place) []string {
		return []string{"--config", filepath.Join(p.Dir, "config.toml")}
	}}
}

// NginxPaths is what a configuration of nginx has in http, so that all that it
// writes is in a directory of its own.
const NginxPaths = "client_body_temp_path body; proxy_temp_path temp; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;"

// Nginx is nginx. Paths in its configuration are relative to Place.Dir. The
// configuration has NginxPaths, and neither daemon, pid nor error_log: they come
// from here.
func Nginx() Program {
	return Program{Name: "nginx", path: "nginx", config: "nginx.conf", args: func(p Place) []string {
		return []string{"-p", p.Dir, "-c", "nginx.conf", "-e", "error.log",
			"-g", "daemon off; pid nginx.pid; error_log stderr;"}
	}}
}

// Squid is squid, whose cache directories are made before it starts.
func Squid() Program {
	args := func(more string) func(Place) []string {
		return func(p Place) []string {
			// Its shared memory has the service's name, which another squid may have already.
			sum := fnv.New64()
			io.WriteString(sum, p.Dir)
			return []string{"-N", more, "-n", fmt.Sprintf("p%x", sum.Sum64()), "-f", filepath.Join(p.Dir, "squid.conf")}
		}
	}
	return Program{Name: "squid", path: "squid", config: "squid.conf", prepare: args("-z"), args: args("-d1")}
}

// AptCacherNG is apt-cacher-ng. Its configuration has CacheDir, LogDir and
// SocketPath below Place.Dir, ForeGround: 1, BindAddress and Port.
func AptCacherNG() Program {
	return Program{Name: "apt-cacher-ng", path: "apt-cacher-ng", config: "conf/acng.conf", args: func(p Place) []string {
		return []string{"-c", filepath.Join(p.Dir, "conf")}
	}}
}

// find is where the program is. Servers are often not on a user's PATH.
func (p Program) find() (string, error) {
	path, err := exec.LookPath(p.path)
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin"} {
		if !errors.Is(err, exec.ErrNotFound) {
			break
		}
		if there, also := exec.LookPath(filepath.Join(dir, p.path)); also == nil {
			path, err = there, nil
		}
	}
	return path, err
}

// BuildUnless is given, the path of one of the project's programs, or, where that is
// empty, what Build returns.
func BuildUnless(ctx context.Context, given, dir, name string) (string, error) {
	if given != "" {
		return given, nil
	}
	return Build(ctx, dir, name)
}

// Build builds one of the project's programs, "imserve" or "imsync", from this
// tree into dir, which others may enter then, and returns its path.
func Build(ctx context.Context, dir, name string) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", dir+string(filepath.Separator), "intelligentmirror/cmd/"+name).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build %s: %w: %s", name, err, bytes.TrimSpace(out))
	}
	// Whoever a server runs as has to reach it.
	return filepath.Join(dir, name), os.Chmod(dir, 0o755)
}
