"""CloudFormation templates, and the command that packages and deploys them to AWS or to the local cloud."""
