package main

// The exit statuses that are vm's own and not CMD's.
const (
	exitLeak       = 97
	exitTimeout    = 124
	exitMachine    = 125
	exitCannotRun  = 126
	exitNotFound   = 127
	exitBySignal   = 128 // plus the signal's number
	exitUsageError = 2
)

// jobVariable names the environment variable through which the machine learns
// where its job is written. Its presence makes this program the guest's side.
const jobVariable = "VENEER_VM_JOB"

// job is all that the host's side tells the guest's side, as JSON in a file.
type job struct {
	Backend string   // value of VENEER_VM
	Args    []string // CMD and its arguments, outputs already redirected
	Dir     string   // working directory
	Env     []string // the caller's environment

	Channel string // device that carries frames to the host and signals back; "" for the inherited pipes
	Merge   bool   // standard output and standard error are one file

	Out        string   // host folder, writable under its own path; "" for none
	Files      string   // host folder that receives the files of redirected outputs
	Overlays   []string // folders that become writable, their changes forgotten
	Scratch    string   // block device, or open file, that holds the scratch filesystem
	ScratchDir string   // where it is mounted
	ModuleDir  string   // folder with modules.dep; "" when all is built in or loaded
	RootTag    string   // 9p tag of the host's root, to be mounted first; "" when it is the root already

	LeakCheck bool
}

// writableDirs are the folders of the host that the machine can write.
func (j *job) writableDirs() []string {
	if j.Out == "" {
		return []string{j.Files}
	}
	return []string{j.Files, j.Out}
}

// result is the guest's last word.
type result struct {
	Status int      // exit status of CMD, or 128 plus the number of the signal that ended it
	Error  string   // why CMD could not be run at all
	Leaks  []string // what CMD left behind, one sentence part each
}
