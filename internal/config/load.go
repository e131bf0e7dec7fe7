package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// SystemFile is where the site's configuration is, if it has any.
const SystemFile = "/etc/intelligentmirror/config.toml"

// FileVariable names the environment variable that names the file.
const FileVariable = "INTELLIGENTMIRROR_CONFIG"

// Options is what Load needs to know of the process and the host. Of the zero
// Options only UID has a meaning to look out for: 0 is root.
type Options struct {
	Path    string              // of the file, from --config; "" is to look for it
	UID     int                 // who runs the program: os.Geteuid()
	HomeDir string              // of who runs it; "" is none
	Getenv  func(string) string // nil is os.Getenv
	// Set has the values of flags by their keys: "serve.listen", "cache_dir".
	// They win over the file. Paths may be relative to the working directory.
	Set        map[string]string
	Interfaces func() ([]net.Addr, error)   // the host's addresses; nil is net.InterfaceAddrs
	ReadFile   func(string) ([]byte, error) // nil is os.ReadFile
}

// Load finds the configuration file, reads it over the defaults, and checks
// it. The error joins all that is wrong, a *Problem each; but where the file is
// no TOML at all it has the first place alone. There need not be a file, unless
// o.Path or the environment names it.
func Load(o Options) (*Config, error) {
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	if o.Interfaces == nil {
		o.Interfaces = net.InterfaceAddrs
	}
	if o.ReadFile == nil {
		o.ReadFile = os.ReadFile
	}
	c := defaults()
	l := loader{config: c}
	text, err := c.find(o)
	if err != nil {
		return nil, err
	}
	document, problem := parseTOML(c.file, text)
	if problem != nil {
		return nil, problem
	}
	c.origins = make(map[string]origin)
	c.CacheDir, c.origins["cache_dir"] = baseDir(o, "/var/cache", "XDG_CACHE_HOME", ".cache")
	c.StateDir, c.origins["state_dir"] = baseDir(o, "/var/lib", "XDG_STATE_HOME", ".local/state")

	l.repos(document)
	l.replicas(document)
	all := settings(c)
	for _, s := range all {
		if c.origins[s.key].text == "" {
			c.origins[s.key] = origin{text: "default"}
		}
	}
	l.tables(document, all)
	l.flags(o.Set, all)
	for _, key := range []string{"cache_dir", "state_dir"} {
		if c.dir(key) == "" && !c.origins[key].set {
			l.report("", key, 0, "no home directory is known to put it in; set it in "+SystemFile)
		}
	}
	if cert, key := c.Serve.TLSCert, c.Serve.TLSKey; cert != "" && key == "" {
		l.report(c.file, "serve.tls_key", document.line("serve"), "a certificate without its key; set it to the file that has it")
	} else if cert == "" && key != "" {
		l.report(c.file, "serve.tls_cert", document.line("serve"), "a key without its certificate; set it to the file that has it")
	}
	if (c.Serve.CACert == "") != (c.Serve.CAKey == "") {
		l.report(c.file, "serve.ca_cert", document.line("serve"), "a CA is a certificate and its key; set serve.ca_key too, or neither of them")
	}
	if len(c.Sync.Group) > 0 && c.Sync.GroupKey == "" {
		l.report(c.file, "sync.group_key", document.line("sync"), "a group without its secret; set it to the file that has it, the same on each machine of sync.group")
	}
	if len(l.problems) > 0 {
		slices.SortStableFunc(l.problems, func(a, b *Problem) int { return a.Line - b.Line })
		errs := make([]error, len(l.problems))
		for i, p := range l.problems {
			errs[i] = p
		}
		return nil, errors.Join(errs...)
	}
	c.complete(o)
	c.prefixes = newPrefixes(c)
	return c, nil
}

func (c *Config) dir(key string) string {
	if key == "cache_dir" {
		return c.CacheDir
	}
	return c.StateDir
}

// find reads the configuration file and notes which it was.
func (c *Config) find(o Options) (text string, err error) {
	read := func(path string) (string, error) {
		if abs, err := filepath.Abs(path); err == nil {
			path = abs
		}
		c.tried = append(c.tried, path)
		data, err := o.ReadFile(path)
		if err == nil {
			c.file = path
		}
		return string(data), err
	}
	for _, named := range []struct{ path, by string }{{o.Path, "--config"}, {o.Getenv(FileVariable), "$" + FileVariable}} {
		if named.path == "" {
			continue
		}
		text, err := read(named.path)
		if err != nil {
			return "", fmt.Errorf("read the configuration that %s names: %w", named.by, err)
		}
		return text, nil
	}
	var places []string
	if o.UID != 0 {
		if base := o.Getenv("XDG_CONFIG_HOME"); filepath.IsAbs(base) {
			places = append(places, filepath.Join(base, "intelligentmirror", "config.toml"))
		} else if filepath.IsAbs(o.HomeDir) {
			places = append(places, filepath.Join(o.HomeDir, ".config", "intelligentmirror", "config.toml"))
		}
	}
	for _, path := range append(places, SystemFile) {
		switch text, err := read(path); {
		case err == nil:
			return text, nil
		case !errors.Is(err, fs.ErrNotExist):
			return "", fmt.Errorf("read the configuration: %w", err)
		}
	}
	return "", nil
}

// loader fills in a Config and gathers what is wrong.
type loader struct {
	config   *Config
	problems []*Problem
}

func (l *loader) report(file, key string, line int, text string) {
	l.problems = append(l.problems, &Problem{File: file, Line: line, Key: key, Text: text})
}

// fileOrigin is the origin of a value in a file.
func fileOrigin(file string, line int) origin {
	return origin{text: fmt.Sprintf("%s:%d", filepath.Base(file), line), set: true}
}

// tables reads all of the document but for [[repo]] and [[replicate]].
func (l *loader) tables(document table, all []setting) {
	tables := map[string]bool{}
	for _, s := range all {
		if name, _, ok := strings.Cut(s.key, "."); ok {
			tables[name] = true
		}
	}
	file := l.config.file
	for _, f := range document {
		switch t, isTable := f.v.(table); {
		case f.name == "repo", f.name == "replicate":
		case tables[f.name] && isTable:
			for _, g := range t {
				l.key(file, f.name+".", g, all, slices.Collect(maps.Keys(tables)))
			}
		case tables[f.name]:
			l.report(file, f.name, f.line, fmt.Sprintf("%s; expected a table: [%s]", f.kind(), f.name))
		default:
			l.key(file, "", f, all, append(slices.Sorted(maps.Keys(tables)), "repo", "replicate"))
		}
	}
}

// key reads one key of the table whose keys begin with prefix; tables are the
// other names that could stand in its place.
func (l *loader) key(file, prefix string, f field, all []setting, tables []string) {
	key := prefix + f.name
	for _, s := range all {
		if s.key == key {
			faults := s.set(f.value)
			for _, fault := range faults {
				l.report(file, key, fault.line, fault.text)
			}
			l.config.origins[key] = fileOrigin(file, f.line)
			return
		}
	}
	l.report(file, prefix+keyText(f.name), f.line, "unknown key"+l.hint(prefix, f.name, all, tables))
}

// hint says what an unknown key was probably meant to be.
func (l *loader) hint(prefix, name string, all []setting, tables []string) string {
	var here []string
	for _, s := range all {
		table, last, ok := strings.Cut(s.key, ".")
		if !ok {
			table, last = "", s.key
		}
		if table+"." == prefix || table == "" && prefix == "" {
			here = append(here, last)
		} else if last == name && table == "" {
			return "; it belongs at the top of the file, before the first table"
		} else if last == name {
			return "; it belongs in [" + table + "]"
		}
	}
	if prefix == "" {
		here = append(here, tables...)
	}
	return didYouMean(name, here)
}

// flags reads what the command line says.
func (l *loader) flags(set map[string]string, all []setting) {
	for _, key := range slices.Sorted(maps.Keys(set)) {
		_, name, ok := strings.Cut(key, ".")
		if !ok {
			name = key
		}
		flag := "--" + strings.ReplaceAll(name, "_", "-")
		i := slices.IndexFunc(all, func(s setting) bool { return s.key == key })
		if i < 0 {
			l.report("", flag, 0, "there is no key "+key)
			continue
		}
		for _, fault := range all[i].set(value{v: flagValue(all[i].kind, set[key])}) {
			l.report("", flag, 0, fault.text)
		}
		l.config.origins[key] = origin{text: flag + " flag", set: true}
	}
}

// flagValue is what a flag's text would be in the file. Where it is of the
// wrong type it stays a string, which the key then refuses.
func flagValue(kind, text string) any {
	switch kind {
	case "integer":
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return n
		}
	case "boolean":
		if b, err := strconv.ParseBool(text); err == nil {
			return b
		}
	case "path":
		if text != "" && text != StandardOutput {
			if abs, err := filepath.Abs(text); err == nil {
				return abs
			}
		}
	}
	return text
}
