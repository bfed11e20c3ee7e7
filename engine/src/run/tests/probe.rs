use super::*;

/// Notes how many looks there are at once, of each node and of all.
#[derive(Default)]
struct Crowd(Mutex<(HashMap<String, usize>, usize, usize, usize)>);

#[async_trait]
impl Action for Crowd {
    fn name(&self) -> &'static str {
        "work"
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        let node = cx.key.split('/').next().unwrap().to_string();
        {
            let (nodes, now, most, most_of_one) = &mut *self.0.lock().unwrap();
            let here = nodes.entry(node.clone()).or_default();
            (*here, *now) = (*here + 1, *now + 1);
            (*most, *most_of_one) = ((*most).max(*now), (*most_of_one).max(*here));
        }
        match cx.key.as_str() {
            "n1/1" => std::future::pending::<()>().await,
            "n1/2" => panic!("no such pod"),
            _ => tokio::time::sleep(Duration::from_secs(1)).await,
        }
        let (nodes, now, ..) = &mut *self.0.lock().unwrap();
        *nodes.get_mut(&node).unwrap() -= 1;
        *now -= 1;
        Ok(Check::Done("it is there".into()))
    }

    async fn start(&self, _: &Context, _: &Value) -> Result<Progress, Failure> {
        Err(Failure::last("nobody starts anything while looking"))
    }
}

#[tokio::test(start_paused = true)]
async fn the_world_is_asked_by_many_but_each_node_by_few() {
    let keys: Vec<String> = (0..20).flat_map(|n| (0..20).map(move |i| format!("n{n}/{i}"))).collect();
    let mut plan = plan(&keys.iter().map(String::as_str).collect::<Vec<_>>(), false, pause());
    for step in &mut plan.steps {
        step.node = step.key.split('/').next().map(String::from);
    }
    plan.steps[0].effect = Touches::Reads;
    (plan.steps[1].effect, plan.steps[1].preflight) = (Touches::Reads, true);
    let crowd = Arc::new(Crowd::default());
    let actions = Actions::new([crowd.clone() as Arc<dyn Action>]);
    let clock = Arc::new(Leaping(tokio::time::Instant::now()));
    let ports = Ports { kube: None, shells: Arc::new(NoShells), clock, web: None };
    let probes = probe(&Arc::new(plan), &actions, &ports, &Arc::default(), Path::new("/")).await;
    // All but the one that reads and does not count before.
    assert_eq!(probes.len(), 399);
    assert!(!probes.contains_key(&StepId(0)));
    let said = |key: &str| match &probes[&StepId(keys.iter().position(|k| k == key).unwrap() as u32)] {
        crate::plan::Probe::Check(_) => "done".to_string(),
        crate::plan::Probe::Failed(failure) => failure.message.clone(),
    };
    assert_eq!(said("n0/1"), "done");
    assert_eq!(said("n1/1"), "no answer within 10m");
    assert_eq!(said("n1/2"), "a bug in kup: no such pod");
    let (_, _, most, most_of_one) = *crowd.0.lock().unwrap();
    assert!((60..=66).contains(&most) && most_of_one <= 10, "{most} {most_of_one}");
}
