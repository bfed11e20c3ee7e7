# What CI runs.
ci:
    .ci/run

# All but the real cluster.
test:
    KUP_LAB=no tests/run.sh

# The main job on the embedded cluster.
demo:
    cargo run --release -- run playbooks/kubeadm-minor.kup --sim 3+5@v1.33.4 --set target=v1.34.2 --yes

# The figures of the benches' README.
bench:
    cargo bench -p kup-engine
