package train

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/gomlx/compute"

	"github.com/trirank/trirank/internal/atomicfile"
	"github.com/trirank/trirank/internal/checksum"
	"github.com/trirank/trirank/internal/filelock"
	"github.com/trirank/trirank/internal/regular"
	"github.com/trirank/trirank/train/events"
)

// Job is a training run.
type Job struct {
	Config     Config
	Weights    []Weight // of the network to begin with
	Data       *Data
	Validation *Validation // nil: none, and the last weights are taken
	// Dir is the folder of the run: config.json, metrics.jsonl, events for
	// TensorBoard, checkpoints.
	Dir string
	// Activations is a file where those of frozen layers are kept, and Texts what it
	// is of, for runs that share one: all that any of them learns from or validates
	// on. Without it, each run has a file of its own in Dir, and removes it when it
	// is done.
	Activations string
	Texts       [][]int32
	// Inputs are hashes and the like of what the run was made from. A run can only
	// be resumed with the same.
	Inputs map[string]string
	// Resume goes on with the run in Dir; without it a run there is an error.
	Resume bool
	// Report, if not nil, is told of every step and validation.
	Report func(Status)
}

// Status is where a run stands.
type Status struct {
	Step, Steps int
	Epoch       float64
	Loss, Rate  float64
	GradNorm    float64
	Validation  *Point // of this step, if there was one
	Resumed     bool   // the first status of a run that goes on

	// Before the first step, where layers are frozen: texts that have gone through
	// them, of all. Both are 0 otherwise.
	Cached, ToCache int
}

// Result of a run.
type Result struct {
	Steps   int      // done
	Best    *Point   // nil without validation
	Start   *Point   // before the first step
	Stopped bool     // early, since validations did not get better
	Trained []Weight // of the best validation, or of the last step
	Trainer *Trainer
}

// Files of a run.
const (
	configFile     = "config.json"
	metricsFile    = "metrics.jsonl"
	lockFile       = ".lock"
	checkpointsDir = "checkpoints"
	logsDir        = "logs" // for TensorBoard; each writer has a folder of its own
)

// activationsFile is of a run that is not done.
const activationsFile = "activations.bin"

// maxConfig bounds what is read of a config.json.
const maxConfig = 16 << 20

// checkpointEvery is how much work a crash may cost where validations are far
// apart.
const checkpointEvery = 5 * time.Minute

// record is config.json.
type record struct {
	Config Config            `json:"config"`
	Inputs map[string]string `json:"inputs"`
	Steps  int               `json:"steps"`
}

// line of metrics.jsonl.
type line struct {
	Step       int     `json:"step"`
	Epoch      float64 `json:"epoch,omitempty"`
	Loss       float64 `json:"loss,omitempty"`
	Rate       float64 `json:"learning_rate,omitempty"`
	GradNorm   float64 `json:"grad_norm,omitempty"`
	Validation *Point  `json:"validation,omitempty"`
}

// Examples returns how many an epoch goes through: exact judgements, or queries that a
// teacher scored.
func (j *Job) Examples() int { return len(j.Data.learnt(&j.Config)) }

// Steps returns how many steps a run takes, and how many an epoch has.
func (j *Job) Steps() (steps, epoch int) {
	epoch = max(1, (len(j.Data.learnt(&j.Config))+j.Config.Batch-1)/j.Config.Batch)
	return max(1, int(math.Round(j.Config.Epochs*float64(epoch)))), epoch
}

// texts are all that is learnt from or validated on.
func (j *Job) texts() [][]int32 {
	texts := j.Data.texts()
	if j.Validation != nil {
		texts = append(texts, j.Validation.data.texts()...)
	}
	return texts
}

// Check reports a job that cannot be run.
func (j *Job) Check() error {
	if err := j.Config.Validate(); err != nil {
		return err
	}
	return j.Data.check(&j.Config)
}

// Run trains. When ctx ends it writes a checkpoint and returns ctx's error; the
// same job with Resume goes on, and its steps are those of a run that was never
// interrupted.
func Run(ctx context.Context, backend compute.Backend, j *Job) (*Result, error) {
	r := &runner{Job: j}
	defer r.close()
	out, err := r.run(ctx, backend)
	if err != nil {
		return nil, fmt.Errorf("cannot train in %s: %w", j.Dir, err)
	}
	return out, nil
}

type runner struct {
	*Job
	trainer      *Trainer
	state        State
	steps, epoch int
	examples     []example
	unlock       func()
	saved        time.Time // when a checkpoint was written last
	metrics      *os.File
	trainEvents  *events.Writer
	validEvents  *events.Writer
	found        bool      // a checkpoint to go on from
	ordered      []example // of epoch
	orderedEpoch int
}

func (r *runner) run(ctx context.Context, backend compute.Backend) (*Result, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	r.steps, r.epoch = r.Steps()
	r.examples = r.Data.learnt(&r.Config)
	var err error
	if r.trainer, err = NewTrainer(backend, r.Weights, &r.Config); err != nil {
		return nil, err
	}
	r.trainer.fit(r.Job)
	if err := r.open(); err != nil {
		return nil, err
	}
	if !r.done() {
		if err := r.cacheActivations(ctx); err != nil {
			return nil, err
		}
	}
	r.saved = time.Now()
	if !r.found && r.Validation != nil {
		if err := r.validate(ctx); err != nil {
			return nil, err
		}
		// Nothing that follows may be better.
		if err := r.checkpoint(); err != nil {
			return nil, err
		}
	}
	if r.state.Due {
		if err := errors.Join(r.validate(ctx), r.checkpoint()); err != nil {
			return nil, err
		}
	}
	for !r.done() {
		if err := ctx.Err(); err != nil {
			if r.state.Step > 0 {
				err = errors.Join(err, r.checkpoint())
			}
			return nil, err
		}
		if err := r.step(); err != nil {
			return nil, err
		}
		each := r.Config.ValidateEach
		if each == 0 {
			each = r.epoch
		}
		due := r.state.Step%each == 0 || r.state.Step == r.steps
		if due && r.Validation != nil {
			r.state.Due = true
			if err := r.validate(ctx); err != nil {
				if ctx.Err() != nil { // the steps are kept
					err = errors.Join(ctx.Err(), r.checkpoint())
				}
				return nil, err
			}
		}
		if due || time.Since(r.saved) > checkpointEvery {
			if err := r.checkpoint(); err != nil {
				return nil, err
			}
		}
	}
	out := &Result{Steps: r.state.Step, Start: r.state.Start, Best: r.state.Best, Stopped: r.state.Step < r.steps, Trainer: r.trainer}
	if r.state.Best != nil && r.state.Best.Step != r.state.Step {
		if _, err := r.trainer.load(filepath.Join(r.Dir, checkpointsDir, checkpointName(r.state.Best.Step))); err != nil {
			return nil, err
		}
	}
	out.Trained = r.trainer.Trained()
	if r.trainer.activations != nil {
		r.trainer.forgetActivations()
	}
	// What a run that was killed at its very end left goes too.
	if err := os.Remove(filepath.Join(r.Dir, activationsFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return out, nil
}

// done reports whether there is no step to take: all are, or validations do not get
// better.
func (r *runner) done() bool { return done(&r.state, r.steps, r.Config.Patience) }

func done(s *State, steps, patience int) bool {
	return !s.Due && (s.Step >= steps || patience > 0 && s.Worse >= patience)
}

// cacheActivations runs all texts through the layers that are frozen, where those
// come first.
func (r *runner) cacheActivations(ctx context.Context) error {
	if r.trainer.below() == 0 {
		return nil
	}
	path, texts := r.Activations, r.Texts
	if path == "" {
		path, texts = filepath.Join(r.Dir, activationsFile), r.texts()
	}
	return r.trainer.cacheActivations(ctx, path, texts, func(done, all int) {
		if r.Report != nil {
			r.Report(Status{Step: r.state.Step, Steps: r.steps, Cached: done, ToCache: all})
		}
	})
}

// step takes one step and records it.
func (r *runner) step() error {
	number := r.state.Step
	epoch, at := number/r.epoch, number%r.epoch
	if r.ordered == nil || r.orderedEpoch != epoch {
		r.ordered, r.orderedEpoch = order(r.examples, r.Config.Seed, epoch), epoch
	}
	all := r.ordered
	some := all[at*r.Config.Batch : min((at+1)*r.Config.Batch, len(all))]
	b := r.Data.batch(some, &r.Config, number)
	out, err := r.trainer.step(b, number, r.steps)
	if err != nil {
		if errors.Is(err, ErrExploded) {
			err = fmt.Errorf("step %d: %w (loss %v, gradient norm %v); the last good checkpoint is kept: try a lower --learning-rate or a higher --temperature", number+1, err, out.loss, out.norm)
		}
		return err
	}
	r.state.Step++
	if number%8 == 0 {
		runtime.GC() // what the device holds is invisible to the collector's pace
	}
	s := Status{Step: r.state.Step, Steps: r.steps, Epoch: float64(r.state.Step) / float64(r.epoch), Loss: out.loss, Rate: r.Config.rate(number, r.steps), GradNorm: out.norm}
	err = errors.Join(
		r.write(line{Step: s.Step, Epoch: s.Epoch, Loss: s.Loss, Rate: s.Rate, GradNorm: s.GradNorm}),
		r.trainEvents.Scalars(s.Step, time.Now(), map[string]float64{"loss": s.Loss, "learning_rate": s.Rate, "grad_norm": s.GradNorm}),
	)
	if r.Report != nil {
		r.Report(s)
	}
	return err
}

// validate measures the weights as they are.
func (r *runner) validate(ctx context.Context) error {
	p, err := r.Validation.measure(ctx, r.trainer)
	if err != nil {
		return err
	}
	p.Step = r.state.Step
	r.state.Due = false
	if math.IsNaN(p.Loss) || math.IsInf(p.Loss, 0) || math.IsNaN(p.NDCG) {
		return fmt.Errorf("validation of step %d: %w (loss %v, nDCG@10 %v); the last good checkpoint is kept", p.Step, ErrExploded, p.Loss, p.NDCG)
	}
	if p.Step == 0 {
		r.state.Start = &p
	}
	switch {
	case r.state.Best == nil || p.NDCG > r.state.Best.NDCG:
		r.state.Best, r.state.Worse = &p, 0
	default:
		r.state.Worse++
	}
	if r.Report != nil {
		r.Report(Status{Step: p.Step, Steps: r.steps, Epoch: float64(p.Step) / float64(r.epoch), Validation: &p})
	}
	return errors.Join(
		r.write(line{Step: p.Step, Validation: &p}),
		r.validEvents.Scalars(p.Step, time.Now(), map[string]float64{"ndcg@10": p.NDCG, "recall@100": p.Recall, "loss": p.Loss}),
	)
}

// checkpoint makes all that was done durable.
func (r *runner) checkpoint() error {
	r.saved = time.Now()
	return errors.Join(
		r.metrics.Sync(), r.trainEvents.Flush(), r.validEvents.Flush(),
		r.trainer.save(filepath.Join(r.Dir, checkpointsDir), r.state),
	)
}

func (r *runner) write(l line) error {
	b, err := json.Marshal(l)
	if err == nil {
		_, err = r.metrics.Write(append(b, '\n'))
	}
	return err
}

// open begins the folder of the run, or finds where it stands.
func (r *runner) open() error {
	if err := os.MkdirAll(filepath.Join(r.Dir, checkpointsDir), 0o755); err != nil {
		return err
	}
	var err error
	if r.unlock, err = filelock.Take(filepath.Join(r.Dir, lockFile)); err != nil {
		return err
	}
	want, err := checksum.MarshalJSON(record{r.Config, r.Inputs, r.steps})
	if err != nil {
		return err
	}
	path := filepath.Join(r.Dir, configFile)
	got, err := regular.ReadFile(path, maxConfig)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		found, err := checkpoints(filepath.Join(r.Dir, checkpointsDir))
		for _, name := range []string{metricsFile, logsDir, "model", "delta.safetensors"} {
			if _, err := os.Lstat(filepath.Join(r.Dir, name)); err == nil {
				found = append(found, name)
			}
		}
		if len(found) > 0 {
			err = fmt.Errorf("there is %s but no %s, so it is not the folder of a run (name another)", found[0], configFile)
		}
		if err != nil {
			return err
		}
		if err := atomicfile.WriteBytes(path, want); err != nil {
			return err
		}
	case err != nil:
		return err
	case !r.Resume:
		return errors.New("there is a run already (go on with it by --resume, or name another folder)")
	case !bytes.Equal(got, want):
		return fmt.Errorf("the run was begun with other options, another model or another catalogue (see %s)", path)
	}
	if r.state, r.found, err = r.trainer.restore(filepath.Join(r.Dir, checkpointsDir)); err != nil {
		return err
	}
	if err := r.openMetrics(); err != nil {
		return err
	}
	at, next := time.Now(), 0 // the first step that will be recorded
	if r.found {
		next = r.state.Step + 1
	}
	if r.trainEvents, err = events.Create(filepath.Join(r.Dir, logsDir, "train"), "train", at, next); err != nil {
		return err
	}
	if r.validEvents, err = events.Create(filepath.Join(r.Dir, logsDir, "validation"), "validation", at, next); err != nil {
		return err
	}
	if r.found && r.Report != nil {
		r.Report(Status{Step: r.state.Step, Steps: r.steps, Epoch: float64(r.state.Step) / float64(r.epoch), Resumed: true})
	}
	return nil
}

// openMetrics opens metrics.jsonl and cuts off what came after the checkpoint: it
// will be made again.
func (r *runner) openMetrics() (err error) {
	if r.metrics, err = regular.OpenFile(filepath.Join(r.Dir, metricsFile), os.O_CREATE|os.O_RDWR, 0o644); err != nil {
		return err
	}
	end := int64(0)
	in := bufio.NewReader(r.metrics)
	for r.found {
		b, err := in.ReadBytes('\n')
		if err != nil { // the end, or a line that was cut off
			break
		}
		var l line
		if json.Unmarshal(b, &l) != nil || l.Step > r.state.Step {
			break
		}
		end += int64(len(b))
	}
	if err := r.metrics.Truncate(end); err != nil {
		return err
	}
	_, err = r.metrics.Seek(end, io.SeekStart)
	return err
}

func (r *runner) close() {
	if r.trainer != nil {
		r.trainer.activations.close()
	}
	if r.unlock != nil {
		r.unlock()
	}
	if r.metrics != nil {
		r.metrics.Close()
	}
	for _, w := range []*events.Writer{r.trainEvents, r.validEvents} {
		if w != nil {
			w.Close()
		}
	}
}
