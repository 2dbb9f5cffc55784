"""The fault drill: each alert's condition is caused on real servers, while Prometheus watches."""
