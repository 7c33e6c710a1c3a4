package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/veneerdm/veneer/images"
	"github.com/veneerdm/veneer/snapshots"
)

// containerExec runs a command with a container's disk as its root, in mount,
// process, host name and IPC namespaces of its own. It is for looking and mending:
// it is no container runtime and limits nothing.
func (a *app) containerExec() *cobra.Command {
	var user, dir string
	var env []string
	c := &cobra.Command{
		Use: "exec CONTAINER [--] [COMMAND [ARGUMENT...]]", Short: "Run a command in a container's disk", Args: args(1, -1, "a container and perhaps a command"),
		Long: `Run a command, by default the image's own, with the container's disk as its root.
It has processes, mounts, a host name and IPC of its own, and root's rights and
the network of the machine: run only what you trust.`,
		RunE: func(c *cobra.Command, given []string) error {
			var p *os.Process
			err := a.withImages(c.Context(), func(d driver, s *images.Store) error {
				i, err := findContainer(c.Context(), d, given[0])
				if err != nil {
					return err
				}
				m, err := d.Mounts(c.Context(), i.Key)
				if err != nil {
					return err
				}
				r, err := s.Lookup(i.Labels[labelImage])
				if err != nil {
					return err
				}
				config, err := s.Config(r)
				if err != nil {
					return err
				}
				argv := commandAfter(given[1:])
				if len(argv) == 0 {
					argv = append(append(argv, config.Config.Entrypoint...), config.Config.Cmd...)
				}
				if len(argv) == 0 {
					return usage("image %s names no command; give one", images.ShortName(r.Name))
				}
				who := firstOf(user, config.Config.User, "0")
				where := firstOf(dir, config.Config.WorkingDir, "/")
				p, err = a.startInit(m, given[0], who, where, append(config.Config.Env, env...), argv)
				return err
			})
			if err != nil {
				return err
			}
			// The store is closed by now: other commands can use it while this one runs.
			return forward(p)
		},
	}
	c.Flags().SetInterspersed(false)
	c.Flags().StringVarP(&user, "user", "u", "", "uid[:gid] (default: the image's, if a number)")
	c.Flags().StringVarP(&dir, "workdir", "w", "", "folder to start in (default: the image's)")
	c.Flags().StringArrayVarP(&env, "env", "e", nil, "NAME=VALUE; may be repeated")
	c.ValidArgsFunction = a.completed(containerNames)
	return c
}

// commandAfter leaves out a "--" between the container and its command. Flags end at
// the container, so that those behind it are the command's, and the mark stays.
func commandAfter(given []string) []string {
	if len(given) > 0 && given[0] == "--" {
		return given[1:]
	}
	return given
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

const initVerb = "exec-init"

// startInit starts this program again in fresh namespaces, as the command's parent
// to be replaced by it.
func (a *app) startInit(m snapshots.Mount, name, user, dir string, env, argv []string) (*os.Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	files := make([]*os.File, 0, 3)
	for _, stream := range []any{a.stdin, a.stdout, a.stderr} {
		f, ok := stream.(*os.File)
		if !ok {
			if f, err = os.OpenFile(os.DevNull, os.O_RDWR, 0); err != nil {
				return nil, err
			}
			defer f.Close()
		}
		files = append(files, f)
	}
	words := []string{"veneer", initVerb, m.Type, m.Source, strings.Join(m.Options, ","), a.root, name, user, dir}
	return os.StartProcess(self, append(words, argv...), &os.ProcAttr{
		Env: withPath(env), Files: files,
		Sys: &syscall.SysProcAttr{
			Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
			Pdeathsig:  syscall.SIGKILL,
		},
	})
}

func withPath(env []string) []string {
	for _, e := range env {
		if strings.HasPrefix(e, "PATH=") {
			return env
		}
	}
	return append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, env...)
}

// forward passes signals on and ends as the command did.
func forward(p *os.Process) error {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	go func() {
		for s := range signals {
			_ = p.Signal(s) // it may have ended
		}
	}()
	state, err := p.Wait()
	if err != nil {
		return err
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return exitCode{code: 128 + int(status.Signal())}
	}
	if code := state.ExitCode(); code != 0 {
		return exitCode{code: code}
	}
	return nil
}

// runInit is the first process in the namespaces. It mounts the disk where nobody
// else sees it, makes it the root and becomes the command. Its words come from
// startInit and not from a person, so no flags are looked for in them.
func runInit(w []string, stderr io.Writer) int {
	if len(w) < 8 {
		fmt.Fprintf(stderr, "veneer: %s is for veneer itself\n", initVerb)
		return exitUsage
	}
	m := snapshots.Mount{Type: w[0], Source: w[1]}
	if w[2] != "" {
		m.Options = strings.Split(w[2], ",")
	}
	err := enter(m, w[3], w[4], w[5], w[6], w[7:])
	fmt.Fprintf(stderr, "veneer: %v\n", err)
	return exitOf(err)
}

func enter(m snapshots.Mount, at, name, user, dir string, argv []string) error {
	uid, gid, err := parseUser(user)
	if err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts private: %w", err)
	}
	if err := m.At(at); err != nil {
		return err
	}
	if err := errors.Join(unix.Chdir(at), unix.Chroot("."), unix.Chdir("/"), unix.Sethostname([]byte(name))); err != nil {
		return fmt.Errorf("enter %s: %w", at, err)
	}
	const safe = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if st, err := os.Lstat("/proc"); err == nil && st.IsDir() {
		if err := unix.Mount("proc", "/proc", "proc", safe, ""); err != nil {
			return fmt.Errorf("mount /proc: %w", err)
		}
	}
	if st, err := os.Lstat("/dev"); err == nil && st.IsDir() {
		if err := mountDev(); err != nil {
			return err
		}
	}
	if err := unix.Chdir(dir); err != nil {
		return fmt.Errorf("start in %s: %w", dir, err)
	}
	if err := errors.Join(syscall.Setgroups([]int{gid}), syscall.Setgid(gid), syscall.Setuid(uid)); err != nil {
		return fmt.Errorf("become user %s: %w", user, err)
	}
	path, err := findCommand(argv[0])
	if err != nil {
		return exitCode{127, err}
	}
	return exitCode{126, fmt.Errorf("run %s: %w", path, unix.Exec(path, argv, os.Environ()))}
}

// mountDev gives the command the devices that programs expect, in memory, so that
// none becomes a file of the container.
func mountDev() error {
	defer unix.Umask(unix.Umask(0)) // nodes get the modes that they are given
	if err := unix.Mount("tmpfs", "/dev", "tmpfs", unix.MS_NOSUID|unix.MS_NOEXEC, "mode=755,size=64k"); err != nil {
		return fmt.Errorf("mount /dev: %w", err)
	}
	// Documentation/admin-guide/devices.txt
	for name, minor := range map[string]uint32{"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9} {
		if err := unix.Mknod("/dev/"+name, unix.S_IFCHR|0o666, int(unix.Mkdev(1, minor))); err != nil {
			return fmt.Errorf("make /dev/%s: %w", name, err)
		}
	}
	for name, to := range map[string]string{"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"} {
		if err := os.Symlink(to, "/dev/"+name); err != nil {
			return err
		}
	}
	return nil
}

func parseUser(user string) (uid, gid int, err error) {
	u, g, has := strings.Cut(user, ":")
	if uid, err = strconv.Atoi(u); err == nil && has {
		gid, err = strconv.Atoi(g)
	}
	if err != nil || uid < 0 || gid < 0 {
		return 0, 0, usage("user %q; only numbers, uid[:gid], are possible: say --user", user)
	}
	return uid, gid, nil
}

// findCommand looks a command up in PATH of the root that was entered.
func findCommand(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for dir := range strings.SplitSeq(os.Getenv("PATH"), ":") {
		path := dir + "/" + name
		if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("command %q is not in the container", name)
}
