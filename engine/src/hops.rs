//! The way up to a version, minor by minor: where the control plane stops, and at which stops the
//! kubelets must come along. It knows no release; which there are is handed in as data.

use dsl::value::{Minor, Version};

/// What a cluster may stop at on its way up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roads {
    /// A good release of each minor that is known, oldest first.
    pub stops: Vec<Version>,
    /// How many minors older than the control plane a kubelet may be.
    pub behind: u32,
}

/// One stop on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The version that the control plane is brought to.
    pub version: Version,
    /// Whether the kubelets of the workers must be brought to it, too.
    pub kubelets: bool,
}

impl Roads {
    /// Returns the hops from the oldest apiserver and the oldest kubelet to a version, with the fewest
    /// rollouts of kubelets: they wait as long as they may, and come along at the end. There is always
    /// the last hop, so that a second run looks at all and changes nothing.
    pub fn hops(
        &self,
        apiserver: &Version,
        kubelet: Option<&Version>,
        to: &Version,
    ) -> Result<Vec<Hop>, String> {
        let (from, last) = (apiserver.minor(), to.minor());
        if to.release() < apiserver.release() {
            return Err(format!("{apiserver} to {to} goes down, and a cluster only goes up"));
        }
        if last.major != from.major {
            return Err(format!("{apiserver} to {to} is no upgrade that Kubernetes knows"));
        }
        let mut at = kubelet.map_or(from, |kubelet| kubelet.minor().min(from));
        let mut hops: Vec<Hop> = Vec::new();
        for minor in from.minor + 1..=last.minor {
            let next = Minor { minor, ..from };
            if next.minor - at.minor > self.behind {
                // The kubelets may not stay where they are: they come along one stop earlier.
                let stop = hops.last_mut();
                match stop {
                    Some(hop) => hop.kubelets = true,
                    None => hops.push(Hop { version: apiserver.release(), kubelets: true }),
                }
                at = Minor { minor: minor - 1, ..from };
            }
            let version = if next == last { to.clone() } else { self.stop(next)? };
            hops.push(Hop { version, kubelets: false });
        }
        match hops.last_mut() {
            Some(hop) if hop.version == *to => hop.kubelets = true,
            Some(_) | None => hops.push(Hop { version: to.clone(), kubelets: true }),
        }
        Ok(hops)
    }

    fn stop(&self, minor: Minor) -> Result<Version, String> {
        let stop = self.stops.iter().find(|stop| stop.minor() == minor);
        stop.cloned().ok_or_else(|| {
            format!(
                "no good release of {minor} is known to stop at; go to one by yourself, then on from there"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(from: &str, kubelet: &str, to: &str) -> String {
        let stops = ["v1.31.14", "v1.32.13", "v1.33.13", "v1.34.4", "v1.35.9", "v1.36.5"];
        let v = |text: &str| text.parse::<Version>().expect("a version");
        let roads = Roads { stops: stops.map(v).to_vec(), behind: 3 };
        match roads.hops(&v(from), Some(&v(kubelet)), &v(to)) {
            Ok(hops) => {
                let hop =
                    |h: &Hop| format!("{}{}", h.version, if h.kubelets { " with kubelets" } else { "" });
                hops.iter().map(hop).collect::<Vec<_>>().join(", ")
            }
            Err(why) => why,
        }
    }

    #[test]
    fn the_control_plane_stops_at_each_minor_and_the_kubelets_wait_as_long_as_they_may() {
        assert_eq!(way("v1.31.4", "v1.31.4", "v1.32.1"), "v1.32.1 with kubelets");
        assert_eq!(way("v1.31.4", "v1.31.4", "v1.33.2"), "v1.32.13, v1.33.2 with kubelets");
        assert_eq!(way("v1.31.4", "v1.31.4", "v1.34.2"), "v1.32.13, v1.33.13, v1.34.2 with kubelets");
        assert_eq!(
            way("v1.31.4", "v1.31.4", "v1.35.1"),
            "v1.32.13, v1.33.13, v1.34.4 with kubelets, v1.35.1 with kubelets"
        );
        assert_eq!(
            way("v1.30.1", "v1.30.1", "v1.36.5"),
            "v1.31.14, v1.32.13, v1.33.13 with kubelets, v1.34.4, v1.35.9, v1.36.5 with kubelets"
        );
    }

    #[test]
    fn kubelets_that_lag_behind_come_along_before_the_control_plane_leaves_them() {
        assert_eq!(way("v1.33.4", "v1.31.2", "v1.34.2"), "v1.34.2 with kubelets");
        assert_eq!(way("v1.33.4", "v1.30.2", "v1.34.2"), "v1.33.4 with kubelets, v1.34.2 with kubelets");
        assert_eq!(
            way("v1.33.4", "v1.31.2", "v1.36.2"),
            "v1.34.4 with kubelets, v1.35.9, v1.36.2 with kubelets"
        );
    }

    #[test]
    fn where_the_cluster_is_there_already_the_last_hop_is_left() {
        assert_eq!(way("v1.34.2", "v1.34.2", "v1.34.2"), "v1.34.2 with kubelets");
        assert_eq!(way("v1.34.2", "v1.31.2", "v1.34.4"), "v1.34.4 with kubelets");
        // Half way: another apiserver is newer, and the oldest one counts.
        assert_eq!(way("v1.32.13", "v1.31.4", "v1.34.2"), "v1.33.13, v1.34.2 with kubelets");
    }

    #[test]
    fn there_is_no_way_down_nor_over_what_nobody_knows() {
        assert_eq!(
            way("v1.34.2", "v1.34.2", "v1.33.9"),
            "v1.34.2 to v1.33.9 goes down, and a cluster only goes up"
        );
        assert_eq!(
            way("v1.34.2", "v1.34.2", "v1.34.1"),
            "v1.34.2 to v1.34.1 goes down, and a cluster only goes up"
        );
        assert!(way("v1.36.1", "v1.36.1", "v1.38.0").starts_with("no good release of v1.37 is known"));
        assert_eq!(way("v1.36.1", "v1.36.1", "v1.37.0"), "v1.37.0 with kubelets", "the target is named");
    }
}
