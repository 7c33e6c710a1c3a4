package lifecycle

import "slices"

// Step is one thing that a verb does to a thin device, and that is either done or not
// when a crash comes.
type Step struct {
	// Name is the catalog's method or the kernel's operation.
	Name string
	// Catalog says that it is a catalog write, which is on the disk when it returns.
	Catalog bool
	apply   func(*Observed)
}

// Apply gives what is observed after the step.
func (s Step) Apply(o Observed) Observed {
	if s.apply != nil {
		s.apply(&o)
	}
	return o
}

// record is a catalog write after which the id is in a state.
func record(name string, to State) Step {
	return Step{name, true, func(o *Observed) { o.State = to }}
}

func kernel(name string, apply func(*Observed)) Step { return Step{name, false, apply} }

// The steps that several transitions have.
var (
	createThin   = kernel("create_snap or create_thin", func(o *Observed) { o.InPool = true })
	createDevice = kernel("create the device", func(o *Observed) { o.Device = NoTable })
	loadTable    = kernel("load its table, resume", func(o *Observed) { o.Device = Running })
	suspend      = kernel("suspend", func(o *Observed) { o.Device = Suspended })
	resume       = kernel("resume", func(o *Observed) { o.Device = Running })
	removeDevice = kernel("remove the device", func(o *Observed) { o.Device = NoDevice })
	deleteThin   = kernel("delete", func(o *Observed) { o.InPool = false })
	flush        = kernel("flush", nil)
	replay       = kernel("replay the filesystem's log", nil)
	growFS       = kernel("grow the filesystem", nil)
	makeFS       = kernel("make the filesystem", nil)
	discard      = kernel("discard", nil)
)

// Transition is what happens to one thin device in an operation. An operation on two,
// such as a rollback, has a transition for each.
type Transition struct {
	Name     string
	From, To State
	// Begins is where it begins, for what From does not say.
	Begins Observed
	Steps  []Step
}

// Crash is what a crash leaves after so many steps of a transition.
type Crash struct {
	Transition string
	After      int // steps
	Leaves     Observed
}

// Crashes gives what a crash leaves before, between and after the steps.
func (t Transition) Crashes() []Crash {
	o := t.Begins
	o.State = t.From
	all := []Crash{{t.Name, 0, o}}
	for i, s := range t.Steps {
		o = s.Apply(o)
		all = append(all, Crash{t.Name, i + 1, o})
	}
	return slices.DeleteFunc(all, func(c Crash) bool { return !c.Leaves.Possible() })
}

var (
	absent    = Observed{Device: NoDevice}
	idle      = Observed{InPool: true, Device: NoDevice}
	running   = Observed{InPool: true, Device: Running}
	beingSeen = Observed{InPool: true, Device: Running, Viewed: true}
)

// transitions is the table. Verbs of the driver have the same steps in the same order,
// and a test of the driver compares them.
var transitions = []Transition{
	{"prepare, clone", Unrecorded, Active, absent, []Step{
		record("create", Creating), createThin, createDevice, loadTable, growFS, record("acknowledge", Active)}},
	{"clone, commit, roll back: the origin", Active, Active, running, []Step{suspend, resume}},
	{"commit", Active, Committed, running, []Step{flush, replay, removeDevice, record("commit", Committed)}},
	{"commit of what is not active", Active, Committed, idle, []Step{
		createDevice, loadTable, flush, replay, removeDevice, record("commit", Committed)}},
	{"commit of what is held: the copy", Unrecorded, Committed, absent, []Step{
		record("reserve", Reserved), createThin, createDevice, loadTable, replay, removeDevice, record("commit", Committed)}},
	{"commit of what is held: the original", Active, Trash, running, []Step{record("commit", Trash)}},
	{"roll back: the new one", Unrecorded, Active, absent, []Step{
		record("reserve", Reserved), createThin, createDevice, loadTable, growFS, record("replace thin", Active)}},
	{"roll back: the old one", Active, Trash, running, []Step{record("replace thin", Trash)}},
	{"template", Unrecorded, Template, absent, []Step{
		record("reserve", Reserved), createThin, createDevice, loadTable, makeFS, flush, removeDevice, record("add template", Template)}},
	{"view", Committed, Committed, idle, []Step{
		{"create", true, func(o *Observed) { o.Viewed = true }}, createDevice, loadTable}},
	{"view of the template", Template, Template, idle, []Step{
		{"create", true, func(o *Observed) { o.Viewed = true }}, createDevice, loadTable}},
	{"remove a view", Committed, Committed, beingSeen, []Step{
		{"remove", true, func(o *Observed) { o.Viewed = false }}, removeDevice}},
	{"remove a view of the template", Template, Template, beingSeen, []Step{
		{"remove", true, func(o *Observed) { o.Viewed = false }}, removeDevice}},
	{"mount", Active, Active, idle, []Step{createDevice, loadTable}},
	{"resize", Active, Active, running, []Step{record("update", Active), suspend, resume, growFS}},
	{"take back what could not be made", Creating, Trash, running, []Step{record("remove", Trash)}},
	{"take back what was never made", Creating, Trash, absent, []Step{record("remove", Trash)}},
	{"give up a reservation", Reserved, Trash, running, []Step{record("release", Trash)}},
	{"remove", Active, Trash, running, []Step{record("remove", Trash)}},
	{"remove a committed one", Committed, Trash, idle, []Step{record("remove", Trash)}},
	{"remove a lost one", Lost, Trash, absent, []Step{record("remove", Trash)}},
	{"delete", Trash, Unrecorded, running, []Step{
		removeDevice, createDevice, loadTable, discard, removeDevice, deleteThin, record("forget", Unrecorded)}},
	{"delete what the pool never had", Trash, Unrecorded, absent, []Step{
		createDevice, removeDevice, record("forget", Unrecorded)}},
	{"lose", Active, Lost, absent, []Step{record("mark lost", Lost)}},
	{"lose a committed one", Committed, Lost, absent, []Step{record("mark lost", Lost)}},
	{"lose a template", Template, Trash, absent, []Step{record("remove template", Trash)}},
	{"find", Lost, Active, idle, []Step{record("mark found", Active)}},
	{"find a committed one", Lost, Committed, idle, []Step{record("mark found", Committed)}},
	{"commit under a lost name: the lost one", Lost, Trash, absent, []Step{record("commit", Trash)}},
	{"adopt", Unrecorded, Active, idle, []Step{record("adopt", Active)}},
	{"adopt a reserved one", Reserved, Active, idle, []Step{record("adopt", Active)}},
	{"deactivate the pool", Active, Active, running, []Step{removeDevice}},
}

// Transitions gives the table of all transitions.
func Transitions() []Transition { return slices.Clone(transitions) }

// Allowed says whether some transition has a catalog write that takes a thin id from one
// state to the other. The catalog refuses all others.
func Allowed(from, to State) bool { return allowed[[2]State{from, to}] }

var allowed = func() map[[2]State]bool {
	m := map[[2]State]bool{}
	for _, t := range transitions {
		o := t.Begins
		o.State = t.From
		for _, s := range t.Steps {
			next := s.Apply(o)
			if s.Catalog {
				m[[2]State{o.State, next.State}] = true
			}
			o = next
		}
	}
	return m
}()

// Causes gives the transitions whose crash leaves what a row is about. A row without any
// is about what somebody else did: a disk, a person, another program.
func Causes(o Observed) (names []string) {
	for _, t := range transitions {
		for _, c := range t.Crashes() {
			between := c.After > 0 && c.After < len(t.Steps)
			if between && c.Leaves == o && !slices.Contains(names, t.Name) {
				names = append(names, t.Name)
			}
		}
	}
	return names
}
