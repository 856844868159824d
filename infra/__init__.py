"""CloudFormation templates and the command that packages and deploys them, to AWS and to the local cloud alike."""
