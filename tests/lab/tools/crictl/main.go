// crictl: a stand-in for sigs.k8s.io/cri-tools (not on the Go proxy, not in Debian 12), with the
// commands an operator or an upgrade tool uses: version, info, images, inspecti, pull, rmi, ps,
// pods, inspect, exec, logs --tail, stop, rm, stopp, rmp. Output: -o table|json, and -q.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/protoadapt"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func die(format string, a ...any) {
	fmt.Fprintf(os.Stderr, "FATA "+format+"\n", a...)
	os.Exit(1)
}

func main() {
	endpoint := "unix:///run/containerd/containerd.sock"
	if e := os.Getenv("CONTAINER_RUNTIME_ENDPOINT"); e != "" {
		endpoint = e
	}
	var pos []string
	flags := map[string]string{}
	bools := map[string]bool{"-q": true, "--quiet": true, "-a": true, "--all": true, "--no-trunc": true, "--version": true, "-v": true, "-f": true, "--force": true, "-i": true, "-t": true, "-it": true}
	args := os.Args[1:]
	for i := 0; i < len(args); i++ {
		a := args[i]
		if len(pos) >= 2 && pos[0] == "exec" { // the rest is the command
			if a != "--" {
				pos = append(pos, args[i:]...)
				break
			}
			continue
		}
		switch {
		case !strings.HasPrefix(a, "-"):
			pos = append(pos, a)
		case strings.Contains(a, "="):
			k, v, _ := strings.Cut(a, "=")
			flags[k] = v
		case bools[a] && !(a == "-t" && len(pos) > 0 && pos[0] == "stop"): // there it has the seconds
			flags[a] = "true"
		case i+1 < len(args):
			i++
			flags[a] = args[i]
		}
	}
	get := func(names ...string) string {
		for _, n := range names {
			if v, ok := flags[n]; ok {
				return v
			}
		}
		return ""
	}
	if e := get("--runtime-endpoint", "-r"); e != "" {
		endpoint = e
	}
	if flags["--version"] != "" || flags["-v"] != "" {
		fmt.Println("crictl version v1.33.0 (lab stand-in)")
		return
	}
	if len(pos) == 0 {
		die("usage: crictl COMMAND")
	}
	conn, err := grpc.NewClient(endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(16<<20)))
	if err != nil {
		die("%v", err)
	}
	rt, im := cri.NewRuntimeServiceClient(conn), cri.NewImageServiceClient(conn)
	timeout := 10 * time.Second
	if pos[0] == "pull" || pos[0] == "exec" || pos[0] == "stop" || pos[0] == "stopp" {
		timeout = 5 * time.Minute
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	asJSON := get("-o", "--output") == "json"
	quiet := get("-q", "--quiet") == "true"
	all := get("-a", "--all") == "true"
	show := func(m any, err error) {
		if err != nil {
			die("%v", err)
		}
		var b []byte
		if pm, ok := m.(protoadapt.MessageV1); ok {
			b, err = protojson.MarshalOptions{Multiline: true, Indent: "  ", EmitUnpopulated: true}.Marshal(protoadapt.MessageV2Of(pm))
		} else {
			b, err = json.MarshalIndent(m, "", "  ")
		}
		if err != nil {
			die("%v", err)
		}
		fmt.Println(string(b))
	}
	short := func(s string) string {
		s = strings.TrimPrefix(s, "sha256:")
		if len(s) > 13 && get("--no-trunc") == "" {
			s = s[:13]
		}
		return s
	}
	arg := func() string {
		if len(pos) < 2 {
			die("%s: an argument is missing", pos[0])
		}
		return pos[1]
	}
	// ids may be given shortened
	full := func(id string) string {
		if l, err := rt.ListContainers(ctx, &cri.ListContainersRequest{}); err == nil {
			for _, c := range l.Containers {
				if strings.HasPrefix(c.Id, id) {
					return c.Id
				}
			}
		}
		return id
	}
	switch pos[0] {
	case "version":
		r, err := rt.Version(ctx, &cri.VersionRequest{})
		if err != nil {
			die("%v", err)
		}
		fmt.Printf("Version:  %s\nRuntimeName:  %s\nRuntimeVersion:  %s\nRuntimeApiVersion:  %s\n", r.Version, r.RuntimeName, r.RuntimeVersion, r.RuntimeApiVersion)
	case "info":
		show(rt.Status(ctx, &cri.StatusRequest{Verbose: true}))
	case "images", "image", "img":
		r, err := im.ListImages(ctx, &cri.ListImagesRequest{})
		if err != nil || asJSON {
			show(r, err)
			return
		}
		if !quiet {
			fmt.Printf("%-50s %-12s %-15s %s\n", "IMAGE", "TAG", "IMAGE ID", "SIZE")
		}
		for _, i := range r.Images {
			if quiet {
				fmt.Println(i.Id)
				continue
			}
			for _, t := range i.RepoTags {
				k := strings.LastIndex(t, ":")
				fmt.Printf("%-50s %-12s %-15s %.1fMB\n", t[:k], t[k+1:], short(i.Id), float64(i.Size_)/1e6)
			}
		}
	case "inspecti":
		r, err := im.ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: arg()}, Verbose: true})
		if err == nil && r.Image == nil {
			die("no such image %q present", arg())
		}
		show(r, err)
	case "pull":
		r, err := im.PullImage(ctx, &cri.PullImageRequest{Image: &cri.ImageSpec{Image: arg()}})
		if err != nil {
			die("pulling image: %v", err)
		}
		fmt.Println("Image is up to date for", r.ImageRef)
	case "rmi":
		if _, err := im.RemoveImage(ctx, &cri.RemoveImageRequest{Image: &cri.ImageSpec{Image: arg()}}); err != nil {
			die("%v", err)
		}
		fmt.Println("Deleted:", arg())
	case "ps":
		f := &cri.ContainerFilter{LabelSelector: map[string]string{}}
		if s := get("--state", "-s"); s != "" {
			v, ok := cri.ContainerState_value["CONTAINER_"+strings.ToUpper(s)]
			if !ok {
				die("--state: %q", s)
			}
			f.State = &cri.ContainerStateValue{State: cri.ContainerState(v)}
		} else if !all {
			f.State = &cri.ContainerStateValue{State: cri.ContainerState_CONTAINER_RUNNING}
		}
		r, err := rt.ListContainers(ctx, &cri.ListContainersRequest{Filter: f})
		if err != nil {
			die("%v", err)
		}
		if n := get("--name"); n != "" {
			name, err := regexp.Compile(n) // as in cri-tools: the filter is a regular expression
			if err != nil {
				die("%v", err)
			}
			var keep []*cri.Container
			for _, c := range r.Containers {
				if name.MatchString(c.Metadata.Name) {
					keep = append(keep, c)
				}
			}
			r.Containers = keep
		}
		if asJSON {
			show(r, nil)
			return
		}
		if !quiet {
			fmt.Printf("%-15s %-45s %-12s %-26s %-8s %s\n", "CONTAINER", "IMAGE", "STATE", "NAME", "ATTEMPT", "POD")
		}
		for _, c := range r.Containers {
			if quiet {
				fmt.Println(c.Id)
				continue
			}
			fmt.Printf("%-15s %-45s %-12s %-26s %-8d %s\n", short(c.Id), short(c.Image.Image), strings.TrimPrefix(c.State.String(), "CONTAINER_"), c.Metadata.Name, c.Metadata.Attempt, c.Labels["io.kubernetes.pod.name"])
		}
	case "pods":
		r, err := rt.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
		if err != nil || asJSON {
			show(r, err)
			return
		}
		for _, p := range r.Items {
			if quiet {
				fmt.Println(p.Id)
				continue
			}
			fmt.Printf("%-15s %-12s %-45s %s\n", short(p.Id), strings.TrimPrefix(p.State.String(), "SANDBOX_"), p.Metadata.Name, p.Metadata.Namespace)
		}
	case "inspect":
		show(rt.ContainerStatus(ctx, &cri.ContainerStatusRequest{ContainerId: full(arg()), Verbose: true}))
	case "logs":
		r, err := rt.ContainerStatus(ctx, &cri.ContainerStatusRequest{ContainerId: full(arg())})
		if err != nil {
			die("%v", err)
		}
		n := get("--tail")
		if n == "" {
			n = "+1"
		}
		c := exec.Command("tail", "-n", n, r.Status.LogPath)
		c.Stdout, c.Stderr = os.Stdout, os.Stderr
		if err := c.Run(); err != nil {
			die("%v", err)
		}
	case "exec":
		r, err := rt.ExecSync(ctx, &cri.ExecSyncRequest{ContainerId: full(arg()), Cmd: pos[2:], Timeout: 300})
		if err != nil {
			die("%v", err)
		}
		os.Stdout.Write(r.Stdout)
		os.Stderr.Write(r.Stderr)
		os.Exit(int(r.ExitCode))
	case "stop":
		seconds, _ := strconv.ParseInt(get("-t", "--timeout"), 10, 64)
		_, err := rt.StopContainer(ctx, &cri.StopContainerRequest{ContainerId: full(arg()), Timeout: seconds})
		if err != nil {
			die("%v", err)
		}
		fmt.Println(arg())
	case "rm":
		_, err := rt.RemoveContainer(ctx, &cri.RemoveContainerRequest{ContainerId: full(arg())})
		if err != nil {
			die("%v", err)
		}
		fmt.Println(arg())
	case "stopp":
		_, err := rt.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: arg()})
		if err != nil {
			die("%v", err)
		}
	case "rmp":
		_, err := rt.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: arg()})
		if err != nil {
			die("%v", err)
		}
	default:
		die("the lab's crictl does not know %q", pos[0])
	}
}
