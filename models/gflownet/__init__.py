"""The GFlowNet core: environments, policies, objectives, exploration, exact evaluation."""
