"""What serves behind the load balancer: GPU hosts (ec2) or pods on Kubernetes (eks), each readable as a picture."""
