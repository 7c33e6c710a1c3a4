package disk

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"golang.org/x/sys/unix"
)

// marker is the file that makes a folder a run's own.
const marker = "cowbench-run.json"

// named is how the folder of a run is called.
var named = regexp.MustCompile(`^cowbench-[0-9a-f]{8}$`)

// ErrRunning says that the run that a folder belongs to has not ended.
var ErrRunning = errors.New("is still running")

// A Folder belongs to one run: all that the run makes lies in it or carries its name.
type Folder struct {
	Path string // real, without links
	Name string // "cowbench-" and eight digits, unique on this machine
	lock *os.File
}

// mark is what the marker says.
type mark struct {
	What    string    `json:"what"`
	Process int       `json:"process"`
	Began   time.Time `json:"began"`
}

const markWhat = "files of a cowbench run; `cowbench clean` takes them away"

// NewFolder makes a run's folder inside another one, which is made if it is not there.
func NewFolder(store string) (*Folder, error) {
	if err := os.MkdirAll(store, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder for stores: %w; name another one with --store", err)
	}
	store, err := filepath.EvalSymlinks(store)
	if err == nil {
		store, err = filepath.Abs(store)
	}
	if err != nil {
		return nil, err
	}
	var id [4]byte
	_, _ = rand.Read(id[:]) // never fails
	f := &Folder{Name: "cowbench-" + hex.EncodeToString(id[:])}
	f.Path = filepath.Join(store, f.Name)
	if err := os.Mkdir(f.Path, 0o700); err != nil {
		return nil, fmt.Errorf("make the run's folder: %w; name another folder with --store", err)
	}
	data, err := json.Marshal(mark{markWhat, os.Getpid(), time.Now().UTC()})
	if err == nil {
		err = os.WriteFile(filepath.Join(f.Path, marker), append(data, '\n'), 0o600)
	}
	if err == nil {
		err = f.hold()
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(f.Path))
	}
	return f, nil
}

// How long the lock may last of a run that was killed: until its process is gone, and
// longer when it is, because a child that it was just starting has inherited the lock
// until it becomes another program.
const (
	lockPatience   = 250 * time.Millisecond
	orphanPatience = 10 * time.Second
)

// await takes the lock, or is EWOULDBLOCK when the run goes on.
func (f *Folder) await(lock *os.File) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); ; <-tick.C {
		patience := orphanPatience
		if f.alive() { // asked first: a process that ends between the two frees the lock
			patience = lockPatience
		}
		err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Since(began) > patience {
			return err
		}
	}
}

// alive tells whether the process is there that the marker names.
func (f *Folder) alive() bool {
	var m mark
	data, err := os.ReadFile(filepath.Join(f.Path, marker))
	if err != nil || json.Unmarshal(data, &m) != nil || m.Process <= 0 {
		return false
	}
	err = unix.Kill(m.Process, 0)
	return err == nil || errors.Is(err, unix.EPERM)
}

// hold takes the lock that ends with the process.
func (f *Folder) hold() error {
	lock, err := os.Open(filepath.Join(f.Path, marker))
	if err != nil {
		return err
	}
	if err := f.await(lock); err != nil {
		lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return fmt.Errorf("%s %w: %s", f.Name, ErrRunning, f.Path)
		}
		return err
	}
	f.lock = lock
	return nil
}

// Sub makes an empty folder inside.
func (f *Folder) Sub(name string) (string, error) {
	path := filepath.Join(f.Path, name)
	return path, os.MkdirAll(path, 0o700)
}

// Close takes away whatever of the run there still is, and the folder.
func (f *Folder) Close() error {
	err := f.sweep()
	f.lock.Close()
	return err
}

// Folders finds what runs have left in a folder, running ones included.
func Folders(store string) ([]*Folder, error) {
	entries, err := os.ReadDir(store)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	store, err = filepath.EvalSymlinks(store)
	if err != nil {
		return nil, err
	}
	if store, err = filepath.Abs(store); err != nil {
		return nil, err
	}
	var found []*Folder
	for _, e := range entries {
		f := &Folder{Path: filepath.Join(store, e.Name()), Name: e.Name()}
		if e.IsDir() && named.MatchString(e.Name()) && f.marked() {
			found = append(found, f)
		}
	}
	return found, nil
}

// marked tells whether a folder is a run's: it has our marker, or nothing, since a run
// may be killed between making one and the other.
func (f *Folder) marked() bool {
	data, err := os.ReadFile(filepath.Join(f.Path, marker))
	if err == nil && len(data) > 0 {
		var m mark
		return json.Unmarshal(data, &m) == nil && m.What == markWhat
	}
	entries, err := os.ReadDir(f.Path)
	return err == nil && (len(entries) == 0 || len(entries) == 1 && entries[0].Name() == marker)
}

// Sweep takes away what an ended run left. A run that goes on is ErrRunning.
func (f *Folder) Sweep() error {
	if err := f.hold(); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return os.Remove(f.Path)
		}
		return err
	}
	return f.Close()
}
