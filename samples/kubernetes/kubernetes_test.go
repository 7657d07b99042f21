package kubernetes_test

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path"
	"slices"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/easymicro/easymicro/config/load"
	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/hosttest"
	_ "github.com/easymicro/easymicro/samples" // samples.arith
)

// objects is what objects.yaml has, strictly decoded.
type objects struct {
	deployment deployment
	service    service
	budget     disruptionBudget
	monitor    podMonitor
}

func readObjects(t *testing.T) *objects {
	t.Helper()
	text, err := os.ReadFile("objects.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var o objects
	kinds := map[string]any{
		"apps/v1 Deployment": &o.deployment, "v1 Service": &o.service,
		"policy/v1 PodDisruptionBudget": &o.budget, "monitoring.coreos.com/v1 PodMonitor": &o.monitor,
	}
	for _, document := range bytes.Split(text, []byte("\n---\n")) {
		var is object
		if err := yaml.Unmarshal(document, &is); err != nil {
			t.Fatal(err)
		}
		kind := is.APIVersion + " " + is.Kind
		into := kinds[kind]
		if into == nil {
			t.Fatalf("objects.yaml has an object %s more", kind)
		}
		delete(kinds, kind)
		decoder := yaml.NewDecoder(bytes.NewReader(document))
		decoder.KnownFields(true)
		if err := decoder.Decode(into); err != nil && !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if len(kinds) > 0 {
		t.Errorf("objects.yaml lacks %v", slices.Collect(maps.Keys(kinds)))
	}
	return &o
}

func TestSelectorsAndPortsNameThePods(t *testing.T) {
	o := readObjects(t)
	template := o.deployment.Spec.Template
	for name, labels := range map[string]map[string]string{
		"deployment": o.deployment.Spec.Selector.MatchLabels, "service": o.service.Spec.Selector,
		"budget": o.budget.Spec.Selector.MatchLabels, "monitor": o.monitor.Spec.Selector.MatchLabels,
	} {
		if len(labels) == 0 || !maps.Equal(labels, template.Metadata.Labels) {
			t.Errorf("%s selects %v, the pods have %v", name, labels, template.Metadata.Labels)
		}
	}
	c := template.Spec.Containers[0]
	ports := map[string]int{}
	for _, p := range c.Ports {
		ports[p.Name] = p.Port
	}
	for use, port := range map[string]string{
		"service": o.service.Spec.Ports[0].TargetPort, "monitor": o.monitor.Spec.Endpoints[0].Port,
		"startup": c.Startup.HTTPGet.Port, "liveness": c.Liveness.HTTPGet.Port, "readiness": c.Readiness.HTTPGet.Port,
	} {
		if ports[port] == 0 {
			t.Errorf("%s names the port %q, which the container does not have", use, port)
		}
	}
	if ports["main"] != 8972 || ports["health"] != 8971 {
		t.Errorf("ports %v, the manifest has 8972 and 8971", ports)
	}
}

func TestThePodMayWriteNothingAndIsNobody(t *testing.T) {
	p := readObjects(t).deployment.Spec.Template.Spec
	c := p.Containers[0].SecurityContext
	if !p.SecurityContext.RunAsNonRoot || p.SecurityContext.RunAsUser != 65532 || p.SecurityContext.SeccompProfile.Type != "RuntimeDefault" {
		t.Errorf("pod: %+v", p.SecurityContext)
	}
	if !c.ReadOnly || c.Escalation == nil || *c.Escalation || !slices.Equal(c.Capabilities.Drop, []string{"ALL"}) {
		t.Errorf("container: %+v", c)
	}
}

func TestThePodIsKilledAfterItsGracePeriod(t *testing.T) {
	set, err := load.Load("easymicro.yaml", load.Options{})
	if err != nil {
		t.Fatal(err)
	}
	grace := time.Duration(readObjects(t).deployment.Spec.Template.Spec.Grace) * time.Second
	if own := time.Duration(set.Manifest.Host.Shutdown.GracePeriod); grace < own+5*time.Second {
		t.Errorf("Kubernetes kills after %s, the host takes up to %s", grace, own)
	}
}

// kubectl makes the ConfigMap that the pod mounts.
func TestTheConfigMapHasTheFilesOfTheFolder(t *testing.T) {
	o := readObjects(t)
	kubectl, err := exec.LookPath("kubectl")
	if err != nil {
		t.Skip(err)
	}
	out, err := exec.CommandContext(t.Context(), kubectl, "kustomize", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	var made struct {
		object `yaml:",inline"`
		Data   map[string]string
	}
	if err := yaml.Unmarshal(bytes.SplitN(out, []byte("\n---\n"), 2)[0], &made); err != nil {
		t.Fatal(err)
	}
	spec := o.deployment.Spec.Template.Spec
	if name := spec.Volumes[0].ConfigMap.Name; made.Kind != "ConfigMap" || made.Metadata.Name != name {
		t.Errorf("made %s %s, the pod mounts %s", made.Kind, made.Metadata.Name, name)
	}
	for _, file := range []string{"easymicro.yaml", "policies.yaml"} {
		if text, err := os.ReadFile(file); err != nil || made.Data[file] != string(text) {
			t.Errorf("%s in the ConfigMap is not that of the folder: %v", file, err)
		}
	}
	c := spec.Containers[0]
	if !slices.Contains(c.Args, path.Join(c.Mounts[0].Path, "easymicro.yaml")) {
		t.Errorf("args %v, files in %s", c.Args, c.Mounts[0].Path)
	}
}

func TestTheManifestServesAndFollowsEdits(t *testing.T) {
	t.Parallel()
	h := hosttest.StartCopy(t, ".", hosttest.Options{}, `":8971"`, "127.0.0.1:0", `":8972"`, "127.0.0.1:0")
	if res, body := h.Post("/Arith/Mul", `{"a":6,"b":7}`); res.StatusCode != http.StatusOK || body != `{"c":42}` {
		t.Errorf("%s %s", res.Status, body)
	}
	h.Edit("policies.yaml", "burst: 1000", "burst: 2000")
	if r := h.Revision(); r.Result != host.ResultApplied {
		t.Errorf("%s %v", r.Result, r.Problems)
	}
}
